"""Topology spread constraints with `DoNotSchedule`: no domain may run too far ahead.

pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [
                {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sampan.api.meta import Json
from sampan.api.selectors import NOTHING
from sampan.scheduler import terms
from sampan.scheduler.base import NO_SAY, Filter, Prepared, Rejected
from sampan.scheduler.filters.node_affinity import wants
from sampan.scheduler.filters.taints import EFFECTS
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import HOSTNAME, ZONE, Spread

_TEXT = "node(s) didn't match pod topology spread constraints"
_SKEWED = Rejected((_TEXT,))
_UNLABELLED = Rejected((f"{_TEXT} (missing required label)",), final=True)


Unasked = Callable[[PodView, ClusterState], Sequence[Spread]]
"""The constraints of a pod that has none of its own."""


def spreading(args: Json) -> Filter:
    """The filter; by arguments pods get constraints unasked."""
    default = unasked(args)

    def prepare(pod: PodView, cluster: ClusterState) -> Prepared:
        every = pod.spreads or default(pod, cluster)
        return _prepared(pod, cluster, [constraint for constraint in every if constraint.hard])

    return prepare


def unasked(args: Json) -> Unasked:
    """By default a little, over hosts and zones, for pods of the same Service or workload."""
    listed = args.get("defaultConstraints") or ()
    made = [terms.spread({**item, "labelSelector": None}, {}) for item in listed]
    if args.get("defaultingType", "List" if listed else "System") == "System":
        made = [Spread(HOSTNAME, 3, NOTHING, hard=False), Spread(ZONE, 5, NOTHING, hard=False)]

    def constraints(pod: PodView, cluster: ClusterState) -> list[Spread]:
        selector = cluster.selector_for(pod) if made else None
        return [] if selector is None else [replace(one, selector=selector) for one in made]

    return constraints


spread: Filter = spreading({})


def _prepared(pod: PodView, cluster: ClusterState, constraints: list[Spread]) -> Prepared:
    if not constraints:
        return NO_SAY
    keys = [constraint.topology_key for constraint in constraints]
    nodes = [n for n in cluster.nodes.values() if all(key in n.labels for key in keys)]
    asked = []
    for constraint in constraints:
        domains = domain_counts(pod, constraint, nodes, cluster)
        own = int(constraint.selector.matches(pod.labels))
        asked.append((constraint, domains, _least(constraint, domains), own))

    def check(node: NodeState) -> Rejected | None:
        for constraint, domains, least, own in asked:
            value = node.labels.get(constraint.topology_key)
            if value is None:
                return _UNLABELLED
            if domains[value] + own - least > constraint.max_skew:
                return _SKEWED
        return None

    return Prepared(check)


def domain_counts(
    pod: PodView, constraint: Spread, nodes: Iterable[NodeState], cluster: ClusterState
) -> Counter[str]:
    """Matching pods per domain, over the nodes that count for this pod."""
    counts = cluster.in_namespace(pod.namespace, constraint.selector)
    domains: Counter[str] = Counter()
    for node in nodes:
        if counted(pod, constraint, node):
            domains[node.labels[constraint.topology_key]] += counts.get(node.name, 0)
    return domains


def counted(pod: PodView, constraint: Spread, node: NodeState) -> bool:
    """Whether a node belongs to the domains: the policies for affinity and taints."""
    if constraint.honor_affinity and not wants(pod, node):
        return False
    if not constraint.honor_taints:
        return True
    return all(
        taint.effect not in EFFECTS or any(t.tolerates(taint) for t in pod.tolerations)
        for taint in node.taints
    )


def _least(constraint: Spread, domains: Counter[str]) -> int:
    """The emptiest domain; with fewer domains than asked for, an imagined one with nothing."""
    if len(domains) < constraint.min_domains:
        return 0
    return min(domains.values(), default=0)
