"""What a change may help: for a filter that stood in a pod's way, whether trying again could end
otherwise now. A pod that is woken for nothing waits longer after each time.

Sources: the queueing hints of kube-scheduler's plugins (1.36). A filter that is not named here
always hopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.scheduler.base import Filter
from sampan.scheduler.filters.ports import clash
from sampan.scheduler.pod import PodView
from sampan.scheduler.queue import Concerned
from sampan.scheduler.state import ClusterState, NodeState

BY_ITSELF = frozenset(("NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodeLabel"))
"""Filters that look at nothing but the node: the change must turn a no into a yes."""
BY_TAINTS = frozenset(("NodeUnschedulable", "TaintToleration", "PodTopologySpread"))
"""Filters that know what a change of taints or a cordon means to them. All others hope then, too:
upstream cannot tell them of every new node, and tells them of taints instead (issue 109437).
"""
BY_NEW_NODES = frozenset(("NodeName", "NodePorts", "VolumeRestrictions", "NodeVolumeLimits"))
BY_LABELS = frozenset(("VolumeBinding", "VolumeZone"))
BY_DOMAINS = frozenset(("PodTopologySpread", "InterPodAffinity"))

FilterOf = Callable[[str, PodView], Filter]
"""The filter of that name in the profile that a pod asks for."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that came, changed or went."""

    old: NodeState | None
    new: NodeState | None

    @staticmethod
    def of(old: Json | None, new: Json | None) -> NodeChange:
        return NodeChange(NodeState(old) if old else None, NodeState(new) if new else None)

    def concerns(self, cluster: ClusterState, filter_of: FilterOf) -> Concerned:
        def concerned(name: str, pod: PodView) -> bool:
            if name not in BY_TAINTS and self._taints_differ():
                return True
            if name in BY_DOMAINS:
                return self._domains(name, pod, cluster)
            return self.new is not None and self._by_itself(name, pod, cluster, filter_of)

        return concerned

    def _by_itself(
        self, name: str, pod: PodView, cluster: ClusterState, filter_of: FilterOf
    ) -> bool:
        """Filters that look at one node after the other."""
        if name in BY_ITSELF:
            return self._turned(filter_of(name, pod), pod, cluster)
        if name == "NodeResourcesFit":
            return self._has_room(filter_of(name, pod), pod, cluster)
        if self.old is None or self.new is None:
            return True
        return name not in BY_NEW_NODES and (
            name not in BY_LABELS or self.old.labels != self.new.labels
        )

    def _turned(self, ask: Filter, pod: PodView, cluster: ClusterState) -> bool:
        return (self.old is None or not _takes(ask, pod, self.old, cluster)) and (
            self.new is not None and _takes(ask, pod, self.new, cluster)
        )

    def _has_room(self, ask: Filter, pod: PodView, cluster: ClusterState) -> bool:
        """The pod would fit if it were alone there, and there is more of what it wants."""
        if self.new is None or not _takes(ask, pod, self.new, cluster):
            return False
        if self.old is None:
            return True
        before, after = self.old.allocatable, self.new.allocatable
        return any(after.get(n, 0) > before.get(n, 0) for n in (*pod.requests, "pods"))

    def _domains(self, name: str, pod: PodView, cluster: ClusterState) -> bool:
        """Whether domains that the pod's terms count in came, went or changed."""
        if name == "InterPodAffinity":
            terms = (*pod.affinity, *pod.anti_affinity, *cluster.anti)
            if not pod.affinity and (self.old is None or self.new is None):
                return True  # a node without the label is in nobody's domain
            return self._labels_differ([term.topology_key for term in terms])
        keys = [spread.topology_key for spread in pod.spreads if spread.hard]
        if not keys:
            return True
        before, after = (
            node is not None and all(key in node.labels for key in keys)
            for node in (self.old, self.new)
        )
        if before != after:
            return True
        return after and (self._labels_differ(keys) or self._taints_differ())

    def _labels_differ(self, keys: list[str]) -> bool:
        old = self.old.labels if self.old else {}
        new = self.new.labels if self.new else {}
        return any(old.get(key) != new.get(key) for key in keys)

    def _taints_differ(self) -> bool:
        old, new = self.old, self.new
        if old is None or new is None:
            return False
        return old.taints != new.taints or old.unschedulable != new.unschedulable


def _takes(ask: Filter, pod: PodView, node: NodeState, cluster: ClusterState) -> bool:
    prepared = ask(pod, cluster)
    if prepared.refusal:
        return False
    return prepared.check is None or prepared.check(node) is None


def after_going(gone: PodView, cluster: ClusterState) -> Concerned:
    """A pod left its node."""

    def concerned(name: str, pod: PodView) -> bool:
        if name == "NodePorts":
            return any(clash(a, b) for a in pod.ports for b in gone.ports)
        if name == "PodTopologySpread":
            return not pod.spreads or _counts(pod, gone)
        if name == "InterPodAffinity":
            return any(cluster.term_finds(term, gone) for term in pod.anti_affinity) or any(
                cluster.term_finds(term, pod) for term in gone.anti_affinity
            )
        return True

    return concerned


def after_coming(come: PodView, cluster: ClusterState) -> Concerned:
    """A pod came to a node: one that the waiting pod wants near, or that its spread counts."""

    def concerned(name: str, pod: PodView) -> bool:
        if name == "PodTopologySpread":
            return not pod.spreads or _counts(pod, come)
        return any(cluster.term_finds(term, come) for term in pod.affinity)

    return concerned


def after_shrinking(old: PodView, new: PodView) -> Concerned:
    """A pod on a node asks for other amounts than before."""
    less = {n for n, value in old.requests.items() if new.requests.get(n, 0) < value}
    return lambda name, pod: bool(less & pod.requests.keys())


def _counts(pod: PodView, other: PodView) -> bool:
    return other.namespace == pod.namespace and any(
        spread.selector.matches(other.labels) for spread in pod.spreads
    )
