"""Nodes that were cordoned."""

from __future__ import annotations

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import Taint

CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_REJECTED = Rejected(("node(s) were unschedulable",), final=True)


def node_unschedulable(pod: PodView, cluster: ClusterState) -> Prepared:
    if any(toleration.tolerates(CORDONED) for toleration in pod.tolerations):
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        return _REJECTED if node.unschedulable else None

    return Prepared(check)
