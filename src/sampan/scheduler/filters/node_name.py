"""Pods that name their node."""

from __future__ import annotations

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_REJECTED = Rejected(("node(s) didn't match the requested node name",), final=True)


def node_name(pod: PodView, cluster: ClusterState) -> Prepared:
    wanted = pod.node
    if not wanted:
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        return None if node.name == wanted else _REJECTED

    return Prepared(check)
