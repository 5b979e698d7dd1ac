"""Preferred neighbours: the newcomer's wishes, and those of the pods that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sampan.scheduler.base import stretched
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

HARD_WEIGHT = 1
"""What it counts for that a pod there requires to be near a pod like this."""


def pod_affinity(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    worth: dict[tuple[str, str], int] = defaultdict(int)
    for wish in pod.preferences:
        key = wish.term.topology_key
        for value, count in cluster.by_topology(cluster.matching((wish.term,)), key).items():
            worth[key, value] += wish.weight * count
    mutual = [(wish.term, wish.weight, where) for wish, where in cluster.wishes.items()]
    mutual += [(term, HARD_WEIGHT, where) for term, where in cluster.needs.items()]
    for term, weight, where in mutual:
        if cluster.term_finds(term, pod):
            for value, count in cluster.by_topology(where, term.topology_key).items():
                worth[term.topology_key, value] += weight * count
    if not any(worth.values()):
        return None
    keys = {key for key, _ in worth}
    return stretched(
        [sum(worth.get((key, n.labels.get(key, "")), 0) for key in keys) for n in nodes]
    )
