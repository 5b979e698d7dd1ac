"""What pods ask of nodes and neighbours, parsed once: terms of affinity, spreading, tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sampan.api import selectors
from sampan.api.meta import Json
from sampan.api.selectors import Requirement, Selector

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One alternative of node affinity: all of its requirements."""

    labels: Selector
    fields: Selector

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not self.labels.requirements and not self.fields.requirements:
            return False  # an empty term matches nothing
        return self.labels.matches(labels) and self.fields.matches({"metadata.name": name})

    @property
    def names(self) -> frozenset[str] | None:
        """The only nodes that it can mean; None if it does not say."""
        found: frozenset[str] | None = None
        for requirement in self.fields.requirements:
            if requirement.operator == "In":
                values = frozenset(requirement.values)
                found = values if found is None else found & values
        return found


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods of some namespaces that a selector finds, seen by topology."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None = None
    """None for no further namespaces."""

    def covers(self, namespace: str, namespace_labels: Mapping[str, str]) -> bool:
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(
            namespace_labels
        )


@dataclass(frozen=True, slots=True)
class Weighted:
    """A term of pod affinity with its weight, negative for anti-affinity."""

    term: PodTerm
    weight: int


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint."""

    topology_key: str
    max_skew: int
    selector: Selector
    hard: bool = True
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class Toleration:
    """Which taints a pod puts up with."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        if self.operator in ("Gt", "Lt"):
            return self._compares(taint.value)
        return bool(self.key) and self.value == taint.value

    def _compares(self, value: str) -> bool:
        try:
            found, bound = int(value), int(self.value)
        except ValueError:
            return False
        return found > bound if self.operator == "Gt" else found < bound


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


def node_terms(selector: Json | None) -> tuple[NodeTerm, ...]:
    """The alternatives of a NodeSelector."""
    return tuple(node_term(term) for term in (selector or {}).get("nodeSelectorTerms") or ())


def node_term(term: Json) -> NodeTerm:
    return NodeTerm(
        _expressions(term.get("matchExpressions") or ()),
        _expressions(term.get("matchFields") or ()),
    )


def preferred_nodes(affinity: Json | None) -> tuple[tuple[NodeTerm, int], ...]:
    """The alternatives that nodeAffinity prefers, with their weights."""
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    return tuple(
        (node_term(entry["preference"]), entry["weight"])
        for entry in (affinity or {}).get(field) or ()
    )


def _expressions(parts: Iterable[Json]) -> Selector:
    return Selector(
        tuple(
            Requirement(part["key"], part["operator"], tuple(part.get("values") or ()))
            for part in parts
        )
    )


def pod_term(term: Json, namespace: str) -> PodTerm:
    """A PodAffinityTerm of a pod in that namespace."""
    named = frozenset(term.get("namespaces") or ())
    chosen = term.get("namespaceSelector")
    if not named and chosen is None:
        named = frozenset((namespace,))
    return PodTerm(
        term["topologyKey"],
        selectors.from_object(term.get("labelSelector")),
        named,
        None if chosen is None else selectors.from_object(chosen),
    )


def pod_terms(affinity: Json | None, namespace: str) -> tuple[PodTerm, ...]:
    """The required terms of podAffinity or podAntiAffinity."""
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    return tuple(pod_term(term, namespace) for term in (affinity or {}).get(field) or ())


def weighted_terms(affinity: Json | None, namespace: str, sign: int) -> tuple[Weighted, ...]:
    """The preferred terms."""
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    return tuple(
        Weighted(pod_term(entry["podAffinityTerm"], namespace), sign * entry["weight"])
        for entry in (affinity or {}).get(field) or ()
    )


def spread(constraint: Json, labels: Mapping[str, str]) -> Spread:
    """A constraint of a pod with these labels; `matchLabelKeys` become part of the selector."""
    selector = selectors.from_object(constraint.get("labelSelector"))
    keys = [key for key in constraint.get("matchLabelKeys") or () if key in labels]
    if keys and not selector.nothing:
        more = tuple(Requirement(key, "In", (labels[key],)) for key in keys)
        selector = Selector(selector.requirements + more)
    return Spread(
        constraint["topologyKey"],
        constraint["maxSkew"],
        selector,
        constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        constraint.get("minDomains") or 1,
        constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def toleration(entry: Json) -> Toleration:
    return Toleration(
        entry.get("key", ""),
        entry.get("operator") or "Equal",
        entry.get("value", ""),
        entry.get("effect", ""),
    )


def taint(entry: Json) -> Taint:
    return Taint(entry["key"], entry.get("value", ""), entry["effect"])
