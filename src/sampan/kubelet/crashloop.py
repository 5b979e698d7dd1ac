"""How long a container that keeps failing waits before it is started again.

As upstream: the first restart is at once, then 10 s, doubling to 5 min, counted from the end of
the last run; ten quiet minutes make it forget. Image pulls wait by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 10.0
CAP_S = 300.0


@dataclass(slots=True)
class _Entry:
    delay_s: float
    updated: float


class CrashLoops:
    """Keyed by whatever is one thing that fails."""

    def __init__(self, first_s: float = FIRST_S, cap_s: float = CAP_S) -> None:
        self.first_s, self.cap_s = first_s, cap_s
        self._entries: dict[tuple[str, ...], _Entry] = {}

    def remaining_s(self, key: tuple[str, ...], failed_at: float, now: float) -> float:
        """Seconds still to wait after a failure at `failed_at`; 0 = go on."""
        entry = self._entries.get(key)
        if entry is None or self._is_stale(entry, failed_at):
            return 0.0
        return max(0.0, failed_at + entry.delay_s - now)

    def delay_s(self, key: tuple[str, ...]) -> float:
        """The whole pause that counts now, for messages."""
        entry = self._entries.get(key)
        return entry.delay_s if entry else 0.0

    def tried(self, key: tuple[str, ...], failed_at: float, now: float) -> None:
        """It is tried again now: the next pause is longer."""
        entry = self._entries.get(key)
        if entry is None or self._is_stale(entry, failed_at):
            self._entries[key] = _Entry(self.first_s, now)
        else:
            entry.delay_s, entry.updated = min(self.cap_s, entry.delay_s * 2), now

    def forget(self, prefix: tuple[str, ...]) -> None:
        """Drop all keys that begin so."""
        for key in [key for key in self._entries if key[: len(prefix)] == prefix]:
            del self._entries[key]

    def _is_stale(self, entry: _Entry, failed_at: float) -> bool:
        return failed_at - entry.updated > 2 * self.cap_s
