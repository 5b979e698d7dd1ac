"""nodeSelector and required node affinity."""

from __future__ import annotations

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_REJECTED = Rejected(("node(s) didn't match Pod's node affinity/selector",), final=True)


def node_affinity(pod: PodView, cluster: ClusterState) -> Prepared:
    if not pod.selector and pod.node_terms is None:
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        return None if wants(pod, node) else _REJECTED

    return Prepared(check, only=_only(pod))


def wants(pod: PodView, node: NodeState) -> bool:
    """Whether the node is one that the pod asks for."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in pod.selector.items()):
        return False
    alternatives = pod.node_terms
    return alternatives is None or any(term.matches(node.name, labels) for term in alternatives)


def _only(pod: PodView) -> frozenset[str] | None:
    """The nodes by name, where every alternative names some: pods of DaemonSets look at one."""
    found: frozenset[str] = frozenset()
    for term in pod.node_terms or ():
        names = term.names
        if names is None:
            return None
        found |= names
    return found if pod.node_terms else None
