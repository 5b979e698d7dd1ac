"""Required affinity and anti-affinity between pods, the newcomer's and that of those there."""

from __future__ import annotations

from collections import Counter

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import PodTerm

_ALONE = Rejected(("node(s) didn't match pod affinity rules",), final=True)
_CROWDED = Rejected(("node(s) didn't match pod anti-affinity rules",))
_UNWELCOME = Rejected(("node(s) didn't satisfy existing pods anti-affinity rules",))

Domain = tuple[str, str]
"""(topology key, value)."""


def pod_affinity(pod: PodView, cluster: ClusterState) -> Prepared:
    forbidden = _forbidden(pod, cluster)
    if not (pod.affinity or pod.anti_affinity or forbidden):
        return NO_SAY
    near = [(term.topology_key, _domains(term, pod.affinity, cluster)) for term in pod.affinity]
    far = [(term.topology_key, _domains(term, (term,), cluster)) for term in pod.anti_affinity]
    first = _is_first_of_its_kind(pod, near, cluster)

    def check(node: NodeState) -> Rejected | None:
        labels = node.labels
        if not _has_all(near, labels, first):
            return _ALONE
        if any(key in labels and domains[labels[key]] > 0 for key, domains in far):
            return _CROWDED
        if any(labels.get(key) == value for key, value in forbidden):
            return _UNWELCOME
        return None

    return Prepared(check)


def _domains(term: PodTerm, together: tuple[PodTerm, ...], cluster: ClusterState) -> Counter[str]:
    """Where the pods are that all of these terms find, by this term's topology."""
    return cluster.by_topology(cluster.matching(together), term.topology_key)


def _has_all(near: list[tuple[str, Counter[str]]], labels: dict[str, str], first: bool) -> bool:
    for key, domains in near:
        value = labels.get(key)
        if value is None or not (first or domains[value] > 0):
            return False
    return True


def _is_first_of_its_kind(
    pod: PodView, near: list[tuple[str, Counter[str]]], cluster: ClusterState
) -> bool:
    """A pod that wants to be near its like may go anywhere while there is none."""
    if not near or any(domains for _, domains in near):
        return False
    return all(cluster.term_finds(term, pod) for term in pod.affinity)


def _forbidden(pod: PodView, cluster: ClusterState) -> frozenset[Domain]:
    """The domains from which pods that are there keep this one away."""
    found: set[Domain] = set()
    for term, nodes in cluster.anti.items():
        if not cluster.term_finds(term, pod):
            continue
        for name in nodes:
            node = cluster.nodes.get(name)
            value = node.labels.get(term.topology_key) if node else None
            if value is not None:
                found.add((term.topology_key, value))
    return frozenset(found)
