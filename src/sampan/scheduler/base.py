"""The contracts of filters and scores: a pod in, something to ask of every node out.

A plugin does once per pod whatever can be done once, and hands back a function of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

BEST = 100
"""The scale of scores."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a node cannot take the pod. `final`: removing other pods from it would not help."""

    reasons: tuple[str, ...]
    final: bool = False


Check = Callable[[NodeState], Rejected | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a filter has to say about a pod: nothing at all, a question to every node, the only
    nodes that matter, or a refusal whatever the nodes are.
    """

    check: Check | None = None
    only: frozenset[str] | None = None
    refusal: str = ""


NO_SAY = Prepared()


class Filter(Protocol):
    """The first filter that rejects a node decides what is told of it."""

    def __call__(self, pod: PodView, cluster: ClusterState) -> Prepared: ...


class Score(Protocol):
    """0 to 100 for each of the nodes, in their order; None when the score has no say here."""

    def __call__(
        self, pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None: ...


def scaled(raw: Sequence[float], *, reverse: bool = False) -> list[float]:
    """The largest becomes 100, or with `reverse` 0."""
    most = max(raw, default=0)
    if most <= 0:
        return [float(BEST if reverse else 0)] * len(raw)
    out = [float(int(value * BEST / most)) for value in raw]
    return [BEST - value for value in out] if reverse else out


def stretched(raw: Sequence[float]) -> list[float]:
    """The least becomes 0 and the largest 100."""
    least, most = min(raw, default=0), max(raw, default=0)
    if most == least:
        return [0.0] * len(raw)
    return [float(int(BEST * (value - least) / (most - least))) for value in raw]
