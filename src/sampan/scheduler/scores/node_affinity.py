"""Preferred node affinity: the sum of the weights that a node meets, the profile's own included."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.scheduler import terms
from sampan.scheduler.base import Score, scaled
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState


def added(args: Json) -> Score:
    """The score with what a profile prefers for all its pods."""
    always = terms.preferred_nodes(args.get("addedAffinity"))

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        wishes = (*always, *pod.preferred_nodes)
        if not wishes:
            return None
        return scaled(
            [sum(w for term, w in wishes if term.matches(n.name, n.labels)) for n in nodes]
        )

    return score


node_affinity: Score = added({})
