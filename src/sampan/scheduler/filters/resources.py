"""Whether what the pod requests is free: cpu, memory, everything that nodes count."""

from __future__ import annotations

from sampan.scheduler.base import Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

TOO_MANY = "Too many pods"


def resources(pod: PodView, cluster: ClusterState) -> Prepared:
    wanted = tuple(pod.requests.items())

    def check(node: NodeState) -> Rejected | None:
        reasons = []
        final = False
        allocatable, used = node.allocatable, node.used
        if len(node.pods) >= allocatable.get("pods", 0):
            reasons.append(TOO_MANY)
        for name, amount in wanted:
            there = allocatable.get(name, 0)
            if amount > there - used.get(name, 0):
                reasons.append(f"Insufficient {name}")
                final = final or amount > there
        return Rejected(tuple(reasons), final) if reasons else None

    return Prepared(check)
