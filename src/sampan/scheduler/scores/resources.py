"""Room that is left, or used: much of one or the other, and of all resources alike.

pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated,
                resources: [{name: cpu, weight: 1}, {name: memory, weight: 1}]}}},
               {name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu}]}}]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sampan.api.meta import Json
from sampan.scheduler.base import BEST, Score
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

BASIC = ("cpu", "memory")
PLAIN = (*BASIC, "ephemeral-storage")
"""Resources of every node; others count only for a pod that asks for them."""
BEST_OF_SHAPE = 10
"""The scale on which the shape of RequestedToCapacityRatio is written."""


class Asked(NamedTuple):
    """One resource that counts, and how much of it the pod wants."""

    name: str
    weight: int
    amount: int
    place: int
    """Where it stands in the nodes' weights; -1 where what is used counts as it is."""


Rate = Callable[[int, int], int]
"""From how much there is, and would be used, to a score."""


def fit(args: Json) -> Score:
    """The score of NodeResourcesFit: how full the node would be, by the strategy."""
    strategy = args.get("scoringStrategy") or {}
    kind = strategy.get("type") or "LeastAllocated"
    wanted = _weights(strategy.get("resources"))
    rate, mean = _rate_of(kind, strategy), _mean_of_some if kind == _SHAPED else _mean

    def score(pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState) -> list[float]:
        asked = _asked(pod, wanted, assumed=True)
        return [mean(asked, node, rate) for node in nodes]

    return score


def balance(args: Json) -> Score:
    """How much the pod evens out the used shares; no say for a pod without requests."""
    wanted = _weights(args.get("resources"))

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        if not any(pod.requests.get(name) for name, _ in wanted):
            return None
        asked = _asked(pod, wanted, assumed=False)
        return [_evened(asked, node) for node in nodes]

    return score


def _weights(listed: Sequence[Json] | None) -> list[tuple[str, int]]:
    if not listed:
        return [(name, 1) for name in BASIC]
    return [(item["name"], int(item.get("weight") or 1)) for item in listed]


def _asked(pod: PodView, wanted: Sequence[tuple[str, int]], *, assumed: bool) -> list[Asked]:
    """`assumed`: a container without a request counts for something."""
    found = []
    for name, weight in wanted:
        place = BASIC.index(name) if assumed and name in BASIC else -1
        amount = pod.requests.get(name, 0) if place < 0 else pod.weight[place]
        if amount or name in PLAIN:
            found.append(Asked(name, weight, amount, place))
    return found


_SHAPED = "RequestedToCapacityRatio"


def _rate_of(kind: str, strategy: Json) -> Rate:
    if kind == "MostAllocated":
        return lambda there, after: min(after, there) * BEST // there
    if kind == _SHAPED:
        shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
        points = [(int(p["utilization"]), int(p["score"]) * BEST // BEST_OF_SHAPE) for p in shape]
        return lambda there, after: _along(points, min(100, after * 100 // there))
    return lambda there, after: (there - after) * BEST // there if after < there else 0


def _mean(asked: Sequence[Asked], node: NodeState, rate: Rate) -> float:
    total = weights = 0
    for name, weight, amount, place in asked:
        there = node.allocatable.get(name, 0)
        if there:
            used = node.used.get(name, 0) if place < 0 else node.weight[place]
            total += rate(there, used + amount) * weight
            weights += weight
    return float(total // weights) if weights else 0.0


def _mean_of_some(asked: Sequence[Asked], node: NodeState, rate: Rate) -> float:
    """Resources that score nothing do not count at all."""
    rated = [(_mean((one,), node, rate), one.weight) for one in asked]
    total = sum(weight for value, weight in rated if value > 0)
    return math.floor(sum(v * w for v, w in rated) / total + 0.5) if total else 0.0


def _along(points: Sequence[tuple[int, int]], used: int) -> int:
    """Between two points of the shape the score follows a line."""
    before = points[0]
    for point in points:
        if used <= point[0]:
            run = point[0] - before[0]
            rise = int((point[1] - before[1]) * (used - before[0]) / run) if run else 0
            return before[1] + rise
        before = point
    return before[1]


def _evened(asked: Sequence[Asked], node: NodeState) -> float:
    """75 where the pod changes nothing; more where it evens the shares out, less where not."""
    before, after = [], []
    for name, _, amount, _ in asked:
        there = node.allocatable.get(name, 0)
        if there:
            used = node.used.get(name, 0)
            before.append(min(1.0, used / there))
            after.append(min(1.0, (used + amount) / there))
    return float(BEST // 2 + (BEST // 2 + _evenness(after) - _evenness(before)) // 2)


def _evenness(shares: Sequence[float]) -> int:
    deviation = 0.0
    if len(shares) == 2:
        deviation = abs(shares[0] - shares[1]) / 2
    elif len(shares) > 2:
        mean = sum(shares) / len(shares)
        deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
    return int((1 - deviation) * BEST)


least_allocated: Score = fit({})
balanced_allocation: Score = balance({})
