"""How many replicas a metric asks for, and how fast the number may change. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.meta import Json

TOLERANCE = 0.1
DEFAULT_DOWN_S = 300
UP: tuple[Json, ...] = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
DOWN: tuple[Json, ...] = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


class Limited(NamedTuple):
    """A wish after the limits; `reason` and `message` are the condition ScalingLimited's."""

    replicas: int
    cut: bool
    reason: str
    message: str


@dataclass(slots=True)
class Memory:
    """What one autoscaler remembers: its recent wishes and changes, as (time, number)."""

    wishes: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def forget(self, before: float) -> None:
        self.wishes = [item for item in self.wishes if item[0] >= before]
        self.changes = [item for item in self.changes if item[0] >= before]


def by_ratio(ratio: float, ready: int) -> int:
    """The size for usage divided by target; near 1 nothing changes."""
    if abs(ratio - 1.0) <= TOLERANCE:
        return ready
    return math.ceil(round(ratio * ready, 6))


def stabilized(current: int, wish: int, memory: Memory, spec: Json, now: float) -> int:
    """Not below the highest recent wish, not above the lowest: sinking waits five minutes."""
    behavior = spec.get("behavior") or {}
    down = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds")
    up = (behavior.get("scaleUp") or {}).get("stabilizationWindowSeconds")
    down_s = DEFAULT_DOWN_S if down is None else int(down)
    if wish < current:
        recent = [size for at, size in memory.wishes if now - at <= down_s]
        return min(current, max([wish, *recent]))
    recent = [size for at, size in memory.wishes if now - at <= int(up or 0)]
    return max(current, min([wish, *recent]))


def limited(current: int, wish: int, memory: Memory, spec: Json, now: float) -> Limited:
    """Within minReplicas, maxReplicas and the policies of the behavior."""
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    behavior = spec.get("behavior") or {}
    if wish > current:
        rate = _rate(current, behavior.get("scaleUp"), memory, now, up=True)
        top = min(most, rate)
        if wish > top:
            reason = "TooManyReplicas" if most <= rate else "ScaleUpLimit"
            return Limited(top, True, reason, _TEXTS[reason])
    if wish < current:
        rate = _rate(current, behavior.get("scaleDown"), memory, now, up=False)
        bottom = max(least, rate)
        if wish < bottom:
            reason = "TooFewReplicas" if least >= rate else "ScaleDownLimit"
            return Limited(bottom, True, reason, _TEXTS[reason])
    if wish > most:
        return Limited(most, True, "TooManyReplicas", _TEXTS["TooManyReplicas"])
    if wish < least:
        return Limited(least, True, "TooFewReplicas", _TEXTS["TooFewReplicas"])
    text = "the desired count is within the acceptable range"
    return Limited(wish, False, "DesiredWithinRange", text)


_TEXTS = {
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
}


def _rate(current: int, rules: Json | None, memory: Memory, now: float, *, up: bool) -> int:
    """The size that the policies allow now, seen from the size at the start of each period."""
    rules = rules or {}
    choice = rules.get("selectPolicy") or "Max"
    if choice == "Disabled":
        return current
    policies: Sequence[Json] = rules.get("policies") or (UP if up else DOWN)
    sizes = []
    for policy in policies:
        since = now - float(policy["periodSeconds"])
        start = current - sum(delta for at, delta in memory.changes if at > since)
        sizes.append(_allowed(start, policy, up=up))
    widest = (choice == "Max") == up
    return max(sizes) if widest else min(sizes)


def _allowed(start: int, policy: Json, *, up: bool) -> int:
    value = int(policy["value"])
    if policy["type"] == "Pods":
        return start + value if up else max(0, start - value)
    share = value / 100
    return math.ceil(start * (1 + share)) if up else math.floor(start * max(0.0, 1 - share))
