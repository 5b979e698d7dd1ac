"""Scores by labels, off by default: nodes that have or lack some, and a Service's pods apart.

pluginConfig: [{name: NodeLabel, args: {presentLabelsPreference: [ssd]}},
               {name: ServiceAffinity, args: {antiAffinityLabelsPreference: [rack]}}]
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.scheduler.base import BEST, Score
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState


def node_label(args: Json) -> Score:
    """The share of wishes that a node's labels meet."""
    present = tuple(args.get("presentLabelsPreference") or ())
    absent = tuple(args.get("absentLabelsPreference") or ())

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        wishes = len(present) + len(absent)
        if not wishes:
            return None

        def met(node: NodeState) -> int:
            have = sum(label in node.labels for label in present)
            return have + sum(label not in node.labels for label in absent)

        return [float(BEST * met(node) // wishes) for node in nodes]

    return score


def service_affinity(args: Json) -> Score:
    """The fewer pods of the same Service share a node's label value, the better."""
    keys = tuple(args.get("antiAffinityLabelsPreference") or ())

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        selector = cluster.selector_for(pod)
        if selector is None or not keys:
            return None
        counts = cluster.in_namespace(pod.namespace, selector)
        total = sum(counts.values())
        if not total:
            return None
        domains = {key: cluster.by_topology(counts, key) for key in keys}

        def apart(node: NodeState) -> float:
            shares = [
                1 - domains[key][node.labels[key]] / total if key in node.labels else 0.0
                for key in keys
            ]
            return float(int(BEST * sum(shares) / len(shares)))

        return [apart(node) for node in nodes]

    return score
