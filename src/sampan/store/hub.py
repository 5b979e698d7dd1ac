"""Fan-out of committed changes: writers publish in commit order, watchers follow a prefix.

A watcher that does not keep up is ended rather than allowed to eat the memory; it lists again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sampan.store.base import Change, Compacted

RING_CHANGES = 8192
RING_BYTES = 16 << 20
WATCHER_CHANGES = 50_000
"""Beyond this many changes not yet taken, a watcher is lagging."""


class Hub:
    """All calls from one event loop; a commit reaches its watchers in the next turn of it."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.compacted = 0
        self._ring: deque[Change] = deque()
        self._ring_bytes = 0
        self._ring_start = revision
        """The ring holds every change after this revision."""
        self._by_prefix: dict[str, list[_Subscription]] = {}
        self._lengths: tuple[int, ...] = ()

    def publish(self, revision: int, changes: Sequence[Change]) -> None:
        """What was just committed; the changes of one transaction stay in one batch."""
        self.revision = revision
        for change in changes:
            self._remember(change)
        if self._by_prefix:
            self._deliver(changes)

    async def watch(
        self, prefix: str, after: int, history: Callable[[int, int], Iterable[Change]]
    ) -> AsyncIterator[tuple[Change, ...]]:
        """First what happened after `after` (from the ring, or `history(after, upto)` where the
        ring does not reach back), then everything new. Raises Compacted.
        """
        if after < self.compacted:
            raise Compacted(self.compacted)
        with self._subscribed(prefix) as subscription:
            upto = self.revision
            if after < upto:
                if after >= self._ring_start:
                    old = [c for c in self._ring if c.revision > after]
                else:
                    old = list(history(after, upto))
                batch = tuple(c for c in old if c.key.startswith(prefix))
                if batch:
                    yield batch
            while True:
                batch = await subscription.next()
                if after > upto:
                    batch = tuple(c for c in batch if c.revision > after)
                    if not batch:
                        continue
                yield batch

    @contextmanager
    def _subscribed(self, prefix: str) -> Iterator[_Subscription]:
        subscription = _Subscription(self)
        self._by_prefix.setdefault(prefix, []).append(subscription)
        self._lengths = tuple({len(known) for known in self._by_prefix})
        try:
            yield subscription
        finally:
            self._by_prefix[prefix].remove(subscription)
            if not self._by_prefix[prefix]:
                del self._by_prefix[prefix]
            self._lengths = tuple({len(known) for known in self._by_prefix})

    def _deliver(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for length in self._lengths:
                for subscription in self._by_prefix.get(change.key[:length], ()):
                    subscription.push(change)

    def _remember(self, change: Change) -> None:
        self._ring.append(change)
        self._ring_bytes += _size(change)
        while len(self._ring) > RING_CHANGES or self._ring_bytes > RING_BYTES:
            # A transaction is dropped as a whole, so that the ring never starts inside one.
            first = self._ring[0].revision
            while self._ring and self._ring[0].revision == first:
                self._ring_bytes -= _size(self._ring.popleft())
            self._ring_start = first


class _Subscription:
    """One watcher's queue."""

    __slots__ = ("_hub", "_lagging", "_queue", "_waiter")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._queue: list[Change] = []
        self._waiter: asyncio.Future[None] | None = None
        self._lagging = False

    def push(self, change: Change) -> None:
        if len(self._queue) >= WATCHER_CHANGES:
            self._lagging = True
            self._queue.clear()
        if not self._lagging:
            self._queue.append(change)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> tuple[Change, ...]:
        while not self._queue and not self._lagging:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._lagging:
            raise Compacted(self._hub.revision)
        batch, self._queue = tuple(self._queue), []
        return batch


def _size(change: Change) -> int:
    return len(change.value or b"") + len(change.previous or b"") + 200
