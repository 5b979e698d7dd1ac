"""How fast silent nodes may be emptied: node by node and zone by zone, slower the more are silent,
and not at all when nobody answers, since then the fault is rather here. Pure but for what it
remembers.

    normal               one node per zone in ten seconds
    partly disrupted     a tenth of that in large zones, none in small ones
    fully disrupted      as normal, while some other zone answers
    all zones at once    nobody is emptied, and who was to be is let off
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sampan.api.meta import Json
from sampan.controllers.node_taints import evicted, status_of

ZONE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
EXCLUDED = "node.kubernetes.io/exclude-disruption"
FEW = 2
"""So many silent nodes never disrupt a zone."""

Zone = tuple[str, str]


class State(Enum):
    NORMAL = "normal"
    PARTIAL = "partial"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Rates:
    """Nodes per second, and from when on a zone counts as disrupted or large."""

    normal: float = 0.1
    reduced: float = 0.01
    threshold: float = 0.55
    large: int = 50


def zone_of(node: Json) -> Zone:
    labels = node["metadata"].get("labels") or {}
    region, zone = (labels.get(name, "") for name in ZONE_LABELS)
    return region, zone


def state_of(answers: Iterable[bool], threshold: float) -> State:
    """The state of a zone by which of its nodes answer."""
    every = list(answers)
    silent = every.count(False)
    if silent == len(every):
        return State.FULL
    if silent > FEW and silent / len(every) >= threshold:
        return State.PARTIAL
    return State.NORMAL


@dataclass
class Zones:
    """Who waits to be emptied, and when the next of a zone may be."""

    rates: Rates
    disrupted: bool = False
    """No zone at all answers."""
    _rate: dict[Zone, float] = field(default_factory=dict)
    _next_at: dict[Zone, float] = field(default_factory=dict)
    _waiting: dict[Zone, dict[str, None]] = field(default_factory=dict)

    def look(self, nodes: Iterable[Json], now: float, granted: Collection[str] = ()) -> bool:
        """Judge all zones anew; nodes in `granted` wait no longer. Whether total disruption began
        or ended.
        """
        every = list(nodes)
        answers: dict[Zone, list[bool]] = {}
        for node in every:
            if EXCLUDED not in (node["metadata"].get("labels") or {}):
                answers.setdefault(zone_of(node), []).append(status_of(node, "Ready") == "True")
        states = {zone: state_of(rows, self.rates.threshold) for zone, rows in answers.items()}
        before = self.disrupted
        self.disrupted = bool(states) and all(state is State.FULL for state in states.values())
        self._rate = {
            zone: self._rate_of(state, len(answers[zone])) for zone, state in states.items()
        }
        self._queue([one for one in every if one["metadata"]["name"] not in granted], now)
        return before != self.disrupted

    def due(self, now: float) -> list[str]:
        """The nodes that may be emptied now; each is named once while it waits."""
        found = []
        for zone, waiting in self._waiting.items():
            rate = 0.0 if self.disrupted else self._rate.get(zone, self.rates.normal)
            if waiting and rate and self._next_at.get(zone, now) <= now:
                name = next(iter(waiting))
                del waiting[name]
                found.append(name)
                self._next_at[zone] = now + 1 / rate
        return found

    def wait(self, now: float) -> float | None:
        """Seconds until somebody is due; None while nobody waits."""
        times = [
            max(0.0, self._next_at.get(zone, now) - now)
            for zone, waiting in self._waiting.items()
            if waiting and not self.disrupted and self._rate.get(zone, self.rates.normal)
        ]
        return min(times, default=None)

    def _rate_of(self, state: State, size: int) -> float:
        if state is not State.PARTIAL:
            return self.rates.normal
        return self.rates.reduced if size > self.rates.large else 0.0

    def _queue(self, nodes: Iterable[Json], now: float) -> None:
        """Those that do not answer and are not being emptied yet, in the order they were seen."""
        waiting: Mapping[str, Zone] = {
            node["metadata"]["name"]: zone_of(node)
            for node in nodes
            if status_of(node, "Ready") in ("False", "Unknown") and not evicted(node)
        }
        for zone, names in self._waiting.items():
            for name in [name for name in names if waiting.get(name) != zone]:
                del names[name]
        for name, zone in waiting.items():
            self._next_at.setdefault(zone, now)
            self._waiting.setdefault(zone, {}).setdefault(name)
