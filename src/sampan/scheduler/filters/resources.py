"""Whether what the pod requests is free: cpu, memory, everything that nodes count.

pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.org/a],
                ignoredResourceGroups: [example.net]}}]
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.scheduler.base import Filter, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

TOO_MANY = "Too many pods"


def fit(args: Json) -> Filter:
    """The filter with these arguments: resources that somebody else looks after are ignored."""
    names = frozenset(args.get("ignoredResources") or ())
    groups = frozenset(args.get("ignoredResourceGroups") or ())

    def prepare(pod: PodView, cluster: ClusterState) -> Prepared:
        wanted = tuple(
            (name, amount)
            for name, amount in pod.requests.items()
            if name not in names and not ("/" in name and name.partition("/")[0] in groups)
        )
        return Prepared(lambda node: _missing(node, wanted))

    return prepare


def _missing(node: NodeState, wanted: tuple[tuple[str, int], ...]) -> Rejected | None:
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


resources: Filter = fit({})
