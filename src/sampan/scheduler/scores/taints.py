"""Fewer taints with PreferNoSchedule that the pod does not tolerate."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.base import scaled
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState


def taints(pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState) -> list[float] | None:
    soft = [t for t in pod.tolerations if t.effect in ("", "PreferNoSchedule")]

    def unwanted(node: NodeState) -> int:
        return sum(
            taint.effect == "PreferNoSchedule" and not any(t.tolerates(taint) for t in soft)
            for taint in node.taints
        )

    raw = [unwanted(node) for node in nodes]
    return scaled(raw, reverse=True) if any(raw) else None
