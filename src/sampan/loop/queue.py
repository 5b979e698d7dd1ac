"""The work queue: an item waits at most once, is never handed out twice at the same time, and
comes back when it was added again meanwhile.

            add                 get                  done
    (new) ------> waiting ------------> in work -------------> gone
                     ^                     | add: comes back after done
                     +---------------------+
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from sampan.std.backoff import Backoff
from sampan.std.clock import Clock

Item = TypeVar("Item", bound=Hashable)
RETRY = Backoff(first_s=0.005, factor=2, cap_s=1000)
"""client-go's default for controllers."""


class Queue(Generic[Item]):
    """Belongs to one event loop. Delays run on the loop's timers; `clock` dates them."""

    def __init__(self, clock: Clock, backoff: Backoff = RETRY) -> None:
        self._clock = clock
        self._backoff = backoff
        self._waiting: deque[Item] = deque()
        self._dirty: set[Item] = set()
        self._in_work: set[Item] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[Item, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[Item, int] = {}
        self.adds = 0
        self.retries = 0
        """For metrics."""
        self.on_wait: Callable[[float], None] | None = None
        """Told how long each item waited, for a metrics page."""
        self._since: dict[Item, float] = {}

    def __len__(self) -> int:
        """How many items are ready and not yet in work."""
        return len(self._waiting)

    def add(self, item: Item) -> None:
        """Ready now."""
        if item in self._dirty:
            return
        self._dirty.add(item)
        self.adds += 1
        if self.on_wait is not None:
            self._since[item] = self._clock.monotonic()
        if item not in self._in_work:
            self._waiting.append(item)
            self._wake()

    def add_after(self, item: Item, seconds: float) -> None:
        """Ready in a while; of several delays the earliest counts."""
        if seconds <= 0:
            self.add(item)
            return
        due = self._clock.monotonic() + seconds
        known = self._delayed.get(item)
        if known is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        timer = asyncio.get_running_loop().call_later(seconds, self._ripe, item)
        self._delayed[item] = (due, timer)

    async def get(self) -> Item:
        """The next ready item; `done` must follow."""
        while not self._waiting:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()
                elif getter in self._getters:  # a wake may have passed it over already
                    self._getters.remove(getter)
                raise
        item = self._waiting.popleft()
        self._dirty.discard(item)
        self._in_work.add(item)
        if self.on_wait is not None and item in self._since:
            self.on_wait(self._clock.monotonic() - self._since.pop(item))
        return item

    def done(self, item: Item) -> None:
        """The work on it ended, well or not."""
        self._in_work.discard(item)
        if item in self._dirty:
            self._waiting.append(item)
            self._wake()

    def retry(self, item: Item, most_s: float = float("inf")) -> None:
        """Again after a pause that doubles with every failure since `forget`, up to `most_s`."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        self.retries += 1
        self.add_after(item, min(most_s, self._backoff.delay(failures)))

    def forget(self, item: Item) -> None:
        """It went well: the next failure starts with the shortest pause."""
        self._failures.pop(item, None)

    def failures(self, item: Item) -> int:
        """How often it failed since it last went well."""
        return self._failures.get(item, 0)

    def close(self) -> None:
        """Drop the timers; for the end of the component."""
        for _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()

    def _ripe(self, item: Item) -> None:
        self._delayed.pop(item, None)
        self.add(item)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
