"""Preferred neighbours: the newcomer's wishes, and those of the pods that are there.

pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 1,
                ignorePreferredTermsOfExistingPods: false}}]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.scheduler.base import Score, stretched
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

HARD_WEIGHT = 1
"""What it counts for that a pod there requires to be near a pod like this."""

Worth = dict[tuple[str, str], int]
"""(topology key, value) -> how much it is liked."""


def mutual(args: Json) -> Score:
    """The score with these arguments."""
    given = args.get("hardPodAffinityWeight")
    hard = HARD_WEIGHT if given is None else int(given)
    aloof = bool(args.get("ignorePreferredTermsOfExistingPods"))

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        if aloof and not pod.preferences:
            return None
        worth: Worth = defaultdict(int)
        _own_wishes(worth, pod, cluster)
        _others_wishes(worth, pod, cluster, hard)
        if not any(worth.values()):
            return None
        keys = {key for key, _ in worth}
        return stretched([_liked(worth, keys, node) for node in nodes])

    return score


def _own_wishes(worth: Worth, pod: PodView, cluster: ClusterState) -> None:
    for wish in pod.preferences:
        key = wish.term.topology_key
        for value, count in cluster.by_topology(cluster.matching((wish.term,)), key).items():
            worth[key, value] += wish.weight * count


def _others_wishes(worth: Worth, pod: PodView, cluster: ClusterState, hard: int) -> None:
    rows = [(wish.term, wish.weight, where) for wish, where in cluster.wishes.items()]
    rows += [(term, hard, where) for term, where in cluster.needs.items()]
    for term, weight, where in rows:
        if weight and cluster.term_finds(term, pod):
            for value, count in cluster.by_topology(where, term.topology_key).items():
                worth[term.topology_key, value] += weight * count


def _liked(worth: Worth, keys: set[str], node: NodeState) -> int:
    return sum(worth.get((key, node.labels[key]), 0) for key in keys if key in node.labels)


pod_affinity: Score = mutual({})
