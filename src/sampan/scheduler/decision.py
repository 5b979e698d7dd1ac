"""One pod, all nodes: where it goes, or for every node why not. Chance is handed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.scheduler.base import Check, Filter, Prepared, Rejected, Score
from sampan.scheduler.filters import FILTERS
from sampan.scheduler.pod import PodView
from sampan.scheduler.scores import SCORES
from sampan.scheduler.state import ClusterState, NodeState

NO_NODES = "no nodes available to schedule pods"
ENOUGH = 100
"""So many nodes are always looked at; of more, a share is enough."""


@dataclass(frozen=True)
class Profile:
    """Which filters and scores decide, for pods that name this scheduler."""

    name: str = "default-scheduler"
    filters: Mapping[str, Filter] = field(default_factory=lambda: FILTERS)
    scores: Mapping[str, tuple[int, Score]] = field(default_factory=lambda: SCORES)
    share: int = 0
    """Per cent of the nodes that are looked at; 0 follows their number."""
    candidates_share: int = 10
    candidates_least: int = 100
    """So many nodes preemption looks at more closely: a share, but not fewer than this."""
    bind_timeout_s: float = 600
    """How long a pod waits for its volumes before it is weighed anew."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The node, and among how many possible ones it was chosen."""

    node: str
    possible: int = 1


@dataclass(frozen=True, slots=True)
class Unplaced:
    """No node will do."""

    total: int
    rejected: Mapping[str, Rejected]
    plugins: frozenset[str]
    """The filters that had something against a node: what could help is what they look at."""
    refusal: str = ""
    """Why the pod can go nowhere, whatever the nodes are."""

    @property
    def message(self) -> str:
        if not self.total:
            return NO_NODES
        if self.refusal:
            return f"0/{self.total} nodes are available: {self.refusal}."
        return told(self.total, self.rejected.values())


def told(total: int, rejections: Iterable[Rejected]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
    counts = Counter(reason for rejected in rejections for reason in rejected.reasons)
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{total} nodes are available: {reasons}." if reasons else (
        f"0/{total} nodes are available:"
    )  # fmt: skip


@dataclass(slots=True)
class Question:
    """A pod with its filters prepared: may be asked of any node."""

    pod: PodView
    cluster: ClusterState
    asked: list[tuple[str, Prepared]]
    checks: list[tuple[str, Check]] = field(init=False)

    def __post_init__(self) -> None:
        self.checks = [(name, p.check) for name, p in self.asked if p.check is not None]

    @property
    def refusal(self) -> tuple[str, str] | None:
        """(filter, reason) of a filter that lets the pod go nowhere."""
        return next(((name, p.refusal) for name, p in self.asked if p.refusal), None)

    def only(self) -> tuple[frozenset[str], list[str]] | None:
        """The nodes that matter and the filters that say so; None for all."""
        limits = [(name, p.only) for name, p in self.asked if p.only is not None]
        if not limits:
            return None
        found = limits[0][1] or frozenset()
        for _, names in limits[1:]:
            found &= names or frozenset()
        return found, sorted(name for name, _ in limits)

    def ask(self, node: NodeState) -> tuple[str, Rejected] | None:
        """What the first filter has against the node, also if those who were promised a place
        there come first.
        """
        nominated = self.cluster.nominated.get(node.name)
        if nominated:
            promised = [
                pod
                for key, pod in nominated.items()
                if key != self.pod.key and pod.priority >= self.pod.priority
            ]
            found = self.ask_alone(node.with_pods(promised)) if promised else None
            if found is not None:
                return found
        return self.ask_alone(node)

    def ask_alone(self, node: NodeState) -> tuple[str, Rejected] | None:
        for name, check in self.checks:
            rejected = check(node)
            if rejected is not None:
                return name, rejected
        return None


def question(pod: PodView, cluster: ClusterState, profile: Profile) -> Question:
    asked = []
    for name, prepare in profile.filters.items():
        prepared = prepare(pod, cluster)
        asked.append((name, prepared))
        if prepared.refusal:
            break
    return Question(pod, cluster, asked)


def decide(
    pod: PodView, cluster: ClusterState, profile: Profile, chance: random.Random
) -> Placed | Unplaced:
    """The best of the possible nodes, by chance among equals."""
    total = len(cluster.nodes)
    if not total:
        return Unplaced(0, {}, frozenset())
    asked = question(pod, cluster, profile)
    refused = asked.refusal
    if refused is not None:
        return Unplaced(total, {}, frozenset((refused[0],)), refused[1])
    promised = cluster.nodes.get(pod.nominated)
    if promised is not None and asked.ask(promised) is None:
        return Placed(promised.name)
    possible, rejected, plugins = _search(asked, profile, chance)
    if not possible:
        return Unplaced(total, rejected, frozenset(plugins))
    return Placed(_best(pod, possible, cluster, profile, chance), len(possible))


def _search(
    asked: Question, profile: Profile, chance: random.Random
) -> tuple[list[NodeState], dict[str, Rejected], set[str]]:
    """Possible nodes, as many as are needed; what was against the others."""
    nodes = list(asked.cluster.nodes.values())
    rejected: dict[str, Rejected] = {}
    plugins: set[str] = set()
    only = asked.only()
    if only is not None:
        names, limiting = only
        reason = f"node(s) didn't satisfy plugin(s) [{' '.join(limiting)}]"
        absent = Rejected((reason,), final=True)
        rejected = {node.name: absent for node in nodes if node.name not in names}
        plugins.update(limiting if rejected else ())
        nodes = [node for node in nodes if node.name in names]
    enough = _enough(len(nodes), profile.share)
    if enough < len(nodes):
        start = chance.randrange(len(nodes))
        nodes = nodes[start:] + nodes[:start]
    possible: list[NodeState] = []
    for node in nodes:
        found = asked.ask(node)
        if found is not None:
            plugins.add(found[0])
            rejected[node.name] = found[1]
            continue
        possible.append(node)
        if len(possible) >= enough:
            break
    return possible, rejected, plugins


def _enough(nodes: int, share: int) -> int:
    """How many possible nodes to find before choosing (upstream's rule)."""
    if nodes <= ENOUGH or share >= 100:
        return nodes
    per_cent = share or max(50 - nodes // 125, 5)
    return max(nodes * per_cent // 100, ENOUGH)


def _best(
    pod: PodView,
    nodes: Sequence[NodeState],
    cluster: ClusterState,
    profile: Profile,
    chance: random.Random,
) -> str:
    if len(nodes) == 1:
        return nodes[0].name
    totals = [0.0] * len(nodes)
    for weight, score in profile.scores.values():
        values = score(pod, nodes, cluster)
        if values is not None:
            for index, value in enumerate(values):
                totals[index] += weight * value
    most = max(totals)
    best = [node.name for node, total in zip(nodes, totals, strict=True) if total == most]
    return best[0] if len(best) == 1 else chance.choice(best)
