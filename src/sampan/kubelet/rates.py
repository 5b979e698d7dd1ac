"""From counters to rates: how much of something per second, between the last two readings."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 5.0
"""Readings that follow sooner are answered with the rate known so far."""
KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Reading:
    value: int
    time: float
    rate: int


class Rates:
    """By name of what is counted."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}

    def per_second(self, name: str, value: int, now: float) -> int:
        """0 with the first reading."""
        last = self._readings.get(name)
        if last is None:
            rate = 0
        elif now - last.time < WINDOW_S and last.rate:
            return last.rate
        else:
            rate = int(max(0, value - last.value) / max(1e-3, now - last.time))
        if len(self._readings) >= KEPT:
            self._readings.clear()
        self._readings[name] = _Reading(value, now, rate)
        return rate
