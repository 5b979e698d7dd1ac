"""How long to wait before trying again: a growing delay with a ceiling and some chance in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """`delay(n)` for the n-th failure in a row, counted from 0."""

    first_s: float = 0.005
    factor: float = 2.0
    cap_s: float = 1000.0
    jitter: float = 0.0
    """Up to this share is added, so that many clients do not come back at the same moment."""

    def delay(self, failures: int, random: Callable[[], float] | None = None) -> float:
        """Seconds to wait; `random` gives numbers in [0, 1)."""
        # A power beyond this is above any ceiling and would overflow a float.
        grown = self.first_s * self.factor ** min(failures, 64)
        base = min(self.cap_s, grown)
        if random is None or not self.jitter:
            return base
        return base * (1 + self.jitter * random())
