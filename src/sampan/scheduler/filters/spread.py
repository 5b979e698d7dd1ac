"""Topology spread constraints with `DoNotSchedule`: no domain may run too far ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.filters.node_affinity import wants
from sampan.scheduler.filters.taints import EFFECTS
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import Spread

_TEXT = "node(s) didn't match pod topology spread constraints"
_SKEWED = Rejected((_TEXT,))
_UNLABELLED = Rejected((f"{_TEXT} (missing required label)",), final=True)


def spread(pod: PodView, cluster: ClusterState) -> Prepared:
    constraints = [constraint for constraint in pod.spreads if constraint.hard]
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
