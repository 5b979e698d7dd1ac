"""Taints that the pod does not tolerate."""

from __future__ import annotations

from sampan.scheduler.base import Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

EFFECTS = ("NoSchedule", "NoExecute")
_REJECTED = Rejected(("node(s) had untolerated taint(s)",), final=True)


def taints(pod: PodView, cluster: ClusterState) -> Prepared:
    tolerations = pod.tolerations

    def check(node: NodeState) -> Rejected | None:
        for taint in node.taints:
            if taint.effect in EFFECTS and not any(t.tolerates(taint) for t in tolerations):
                return _REJECTED
        return None

    return Prepared(check)
