"""Topology spread constraints with `ScheduleAnyway`, and the spreading that pods get unasked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from sampan.api.selectors import Selector
from sampan.scheduler.base import BEST
from sampan.scheduler.filters.spread import counted
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import HOSTNAME, ZONE, Spread


def spread(pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState) -> list[float] | None:
    constraints = [constraint for constraint in pod.spreads if not constraint.hard]
    asked = bool(pod.spreads)
    if not asked:
        constraints = _unasked(cluster.selector_for(pod))
    if not constraints:
        return None
    keys = [constraint.topology_key for constraint in constraints]
    ignored = {n.name for n in nodes if asked and any(key not in n.labels for key in keys)}
    raw = [0.0] * len(nodes)
    for constraint in constraints:
        domains = _domains(pod, constraint, nodes, cluster, ignored)
        size = len(nodes) - len(ignored) if constraint.topology_key == HOSTNAME else len(domains)
        weight = math.log(size + 2)
        for index, node in enumerate(nodes):
            value = node.labels.get(constraint.topology_key)
            if node.name not in ignored and value is not None:
                raw[index] += domains[value] * weight + (constraint.max_skew - 1)
    return _reversed([round(value) for value in raw], nodes, ignored)


def _unasked(selector: Selector | None) -> list[Spread]:
    """A little, over hosts and zones, for pods of the same Service or workload."""
    if selector is None:
        return []
    return [Spread(HOSTNAME, 3, selector, hard=False), Spread(ZONE, 5, selector, hard=False)]


def _domains(
    pod: PodView,
    constraint: Spread,
    nodes: Sequence[NodeState],
    cluster: ClusterState,
    ignored: set[str],
) -> Counter[str]:
    """Matching pods per domain that one of the nodes belongs to."""
    key = constraint.topology_key
    domains = Counter(
        {n.labels[key]: 0 for n in nodes if key in n.labels and n.name not in ignored}
    )
    counts = cluster.in_namespace(pod.namespace, constraint.selector)
    for name, count in counts.items():
        node = cluster.nodes.get(name)
        value = node.labels.get(key) if node else None
        if node and value is not None and value in domains and counted(pod, constraint, node):
            domains[value] += count
    return domains


def _reversed(raw: list[int], nodes: Sequence[NodeState], ignored: set[str]) -> list[float]:
    """The emptiest gets 100; nodes without the labels get nothing."""
    known = [value for value, node in zip(raw, nodes, strict=True) if node.name not in ignored]
    if not known:
        return [0.0] * len(raw)
    least, most = min(known), max(known)
    return [
        0.0 if node.name in ignored
        else float(BEST if most == 0 else BEST * (most + least - value) // most)
        for value, node in zip(raw, nodes, strict=True)
    ]  # fmt: skip
