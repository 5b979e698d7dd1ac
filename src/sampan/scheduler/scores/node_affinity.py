"""Preferred node affinity: the sum of the weights that a node meets."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.base import scaled
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState


def node_affinity(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    wishes = pod.preferred_nodes
    if not wishes:
        return None
    return scaled([sum(w for term, w in wishes if term.matches(n.name, n.labels)) for n in nodes])
