"""The cluster as the scheduler sees it: nodes with what is used on them, kept current pod by pod.

Nothing here is computed by walking over all pods: sums per node, and counts per node of the pods
that a term or selector finds, change with the one pod that comes or goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sampan.api.meta import Json, Key
from sampan.api.selectors import Selector
from sampan.scheduler import terms
from sampan.scheduler.devices import Devices
from sampan.scheduler.pod import Amounts, PodView, Port, amounts
from sampan.scheduler.storage import Storage
from sampan.scheduler.tallies import Mark, Tallies
from sampan.scheduler.terms import PodTerm, Taint, Weighted

T = TypeVar("T", PodTerm, Weighted)


class NodeState:
    """A node, and what the pods on it use."""

    __slots__ = ("allocatable", "anti", "images", "labels", "name", "obj", "pods", "ports",
                 "taints", "unschedulable", "used", "weight")  # fmt: skip

    def __init__(self, obj: Json) -> None:
        self.pods: dict[Key, PodView] = {}
        self.used: Amounts = {}
        self.weight = (0, 0)
        self.ports: Counter[Port] = Counter()
        self.replace(obj)

    def replace(self, obj: Json) -> None:
        """A newer version of the Node; its pods stay."""
        spec, status = obj.get("spec", {}), obj.get("status", {})
        self.obj = obj
        self.name: str = obj["metadata"]["name"]
        self.labels: dict[str, str] = obj["metadata"].get("labels") or {}
        self.taints: tuple[Taint, ...] = tuple(terms.taint(t) for t in spec.get("taints") or ())
        self.unschedulable = bool(spec.get("unschedulable"))
        self.allocatable: Amounts = amounts(status.get("allocatable") or status.get("capacity"))
        self.images: dict[str, int] = {
            name: image.get("sizeBytes", 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: PodView) -> None:
        self.pods[pod.key] = pod
        self._count(pod, 1)

    def remove(self, key: Key) -> PodView | None:
        pod = self.pods.pop(key, None)
        if pod is not None:
            self._count(pod, -1)
        return pod

    def without(self, keys: Iterable[Key]) -> NodeState:
        """The same node as if these pods were gone."""
        out = NodeState(self.obj)
        gone = set(keys)
        for key, pod in self.pods.items():
            if key not in gone:
                out.add(pod)
        return out

    def with_pods(self, pods: Iterable[PodView]) -> NodeState:
        """The same node as if these pods were there too."""
        out = self.without(())
        for pod in pods:
            out.add(pod)
        return out

    def _count(self, pod: PodView, sign: int) -> None:
        for name, value in pod.requests.items():
            self.used[name] = self.used.get(name, 0) + sign * value
        cpu, memory = pod.weight
        self.weight = (self.weight[0] + sign * cpu, self.weight[1] + sign * memory)
        for port in pod.ports:
            self.ports[port] += sign


@dataclass
class ClusterState:
    """All nodes and pods; the facts that filters and scores look at."""

    nodes: dict[str, NodeState] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    """The labels of namespaces."""
    storage: Storage = field(default_factory=Storage)
    devices: Devices = field(default_factory=Devices)

    def __post_init__(self) -> None:
        self.placed: dict[Key, PodView] = {}
        self.homeless: dict[str, dict[Key, PodView]] = {}
        self.nominated: dict[str, dict[Key, PodView]] = {}
        self.anti: dict[PodTerm, Counter[str]] = {}
        self.wishes: dict[Weighted, Counter[str]] = {}
        self.needs: dict[PodTerm, Counter[str]] = {}
        self.selector_for: Callable[[PodView], Selector | None] = _no_selector
        """What finds the pods of the same Service or workload; None for a pod of none."""
        self.claims: Counter[Key] = Counter()
        """How many placed pods use a claim."""
        self._tallies = Tallies()
        self.images: Counter[str] = Counter()

    # Nodes.

    def set_node(self, obj: Json) -> None:
        name = obj["metadata"]["name"]
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = NodeState(obj)
            for pod in self.homeless.pop(name, {}).values():
                node.add(pod)
        else:
            self.images.subtract(node.images.keys())
            node.replace(obj)
        self.images.update(node.images.keys())

    def remove_node(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is not None:
            self.images.subtract(node.images.keys())
            if node.pods:
                self.homeless[name] = dict(node.pods)

    # Pods with a node.

    def place(self, pod: PodView, node: str) -> None:
        """The pod runs there, or is about to."""
        self.displace(pod.key)
        self.placed[pod.key] = pod if pod.node else _on(pod, node)
        pod = self.placed[pod.key]
        home = self.nodes.get(node)
        if home is not None:
            home.add(pod)
        else:
            self.homeless.setdefault(node, {})[pod.key] = pod
        self._note(pod, node, 1)

    def displace(self, key: Key) -> None:
        pod = self.placed.pop(key, None)
        if pod is None:
            return
        home = self.nodes.get(pod.node)
        if home is not None:
            home.remove(key)
        else:
            self.homeless.get(pod.node, {}).pop(key, None)
        self._note(pod, pod.node, -1)

    def _note(self, pod: PodView, node: str, sign: int) -> None:
        self._tallies.change(pod, node, sign)
        for name, _ in pod.claims:
            self.claims[Key(pod.namespace, name)] += sign
        for term in pod.anti_affinity:
            _add(self.anti, term, node, sign)
        for term in pod.affinity:
            _add(self.needs, term, node, sign)
        for wish in pod.preferences:
            _add(self.wishes, wish, node, sign)

    # Pods that were promised a place.

    def nominate(self, pod: PodView, node: str) -> None:
        self.forget_nomination(pod.key)
        if node:
            self.nominated.setdefault(node, {})[pod.key] = pod

    def forget_nomination(self, key: Key) -> None:
        for node, pods in list(self.nominated.items()):
            if pods.pop(key, None) is not None and not pods:
                del self.nominated[node]

    # Counting.

    def matching(self, wanted: tuple[PodTerm, ...]) -> Mapping[str, int]:
        """node -> how many of its pods all of the terms find (topology keys aside)."""

        def finds(pod: PodView) -> bool:
            return all(self.term_finds(term, pod) for term in wanted)

        marks = tuple((t.selector, t.namespaces, t.namespace_selector) for t in wanted)
        return self._tallies.count(marks, finds, self._mark_of(wanted), self.placed)

    def in_namespace(self, namespace: str, selector: Selector) -> Mapping[str, int]:
        """node -> how many of its pods in that namespace the selector finds. The selector of
        everything finds none: nobody means to be spread against all pods.
        """
        if not selector:
            return {}

        def finds(pod: PodView) -> bool:
            living = pod.namespace == namespace and not pod.terminating
            return living and selector.matches(pod.labels)

        mark = self._tallies.mark_of(namespace, selector)
        return self._tallies.count((namespace, selector), finds, mark, self.placed)

    def _mark_of(self, wanted: tuple[PodTerm, ...]) -> Mark | None:
        """A label that all pods have which the terms find, where they look into one namespace."""
        for term in wanted:
            if term.namespace_selector is None and len(term.namespaces) == 1:
                mark = self._tallies.mark_of(next(iter(term.namespaces)), term.selector)
                if mark is not None:
                    return mark
        return None

    def term_finds(self, term: PodTerm, pod: PodView) -> bool:
        labels = self.namespaces.get(pod.namespace, {})
        return term.covers(pod.namespace, labels) and term.selector.matches(pod.labels)

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """Other labels may let terms find other pods: their counts are begun anew."""
        if labels is None:
            self.namespaces.pop(name, None)
        elif self.namespaces.get(name) != labels:
            self.namespaces[name] = labels
            self._tallies.clear()

    def by_topology(self, counts: Mapping[str, int], key: str) -> Counter[str]:
        """Counts per node summed up by a label of the nodes."""
        out: Counter[str] = Counter()
        for name, count in counts.items():
            node = self.nodes.get(name)
            value = node.labels.get(key) if node else None
            if value is not None:
                out[value] += count
        return out


def _add(table: dict[T, Counter[str]], key: T, node: str, sign: int) -> None:
    counts = table.setdefault(key, Counter())
    counts[node] += sign
    if not counts[node]:
        del counts[node]
    if not counts:
        del table[key]


def _no_selector(pod: PodView) -> Selector | None:
    return None


def _on(pod: PodView, node: str) -> PodView:
    """The pod as it will be once it is bound."""
    return PodView({**pod.obj, "spec": {**pod.spec, "nodeName": node}})
