"""nodeSelector and required node affinity, and what the profile requires of all its pods.

pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [...]}}}}]
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.scheduler import terms
from sampan.scheduler.base import NO_SAY, Filter, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_REJECTED = Rejected(("node(s) didn't match Pod's node affinity/selector",), final=True)
_ENFORCED = Rejected(("node(s) didn't match scheduler-enforced node affinity",), final=True)
_CONFLICT = "pod affinity terms conflict"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def added(args: Json) -> Filter:
    """The filter with these arguments."""
    required = (args.get("addedAffinity") or {}).get(REQUIRED)
    enforced = None if required is None else terms.node_terms(required)

    def prepare(pod: PodView, cluster: ClusterState) -> Prepared:
        if not pod.selector and pod.node_terms is None and enforced is None:
            return NO_SAY
        only = _only(pod)
        if only is not None and not only:
            return Prepared(refusal=_CONFLICT)

        def check(node: NodeState) -> Rejected | None:
            if enforced is not None and not any(
                term.matches(node.name, node.labels) for term in enforced
            ):
                return _ENFORCED
            return None if wants(pod, node) else _REJECTED

        return Prepared(check, only=only)

    return prepare


node_affinity: Filter = added({})


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
