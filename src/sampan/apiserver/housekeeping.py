"""What the server does unasked: events end after an hour, history after some minutes."""

from __future__ import annotations

from datetime import datetime

from sampan.api.meta import Json, Key
from sampan.apiserver.cacher.cacher import key_for
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.registry.base import Parts
from sampan.std import log
from sampan.store.base import Delete, StoreFailed

_log = log.get("apiserver")

EVENT_TTL_S = 3600.0
SWEEP_S = 60.0
HISTORY_S = 300.0
"""Watches and pages may reach back at least this long."""
BATCH = 200


class Housekeeping:
    """`run` until cancelled."""

    def __init__(self, parts: Parts, *, event_ttl_s: float = EVENT_TTL_S) -> None:
        self._parts = parts
        self._ttl_s = event_ttl_s
        self._written: dict[Key, float] = {}
        for item in parts.cacher.collection("", "events").items():
            self._written[Key(item.namespace, item.name)] = _last_seen(item.decode())
        parts.cacher.listen("", "events", self._event_changed)
        self._marks: list[tuple[float, int]] = []

    def _event_changed(self, event: Event) -> None:
        key = Key(event.subject.namespace, event.subject.name)
        # Written again, it goes to the end: the oldest are always in front.
        self._written.pop(key, None)
        if event.item is not None:
            self._written[key] = self._parts.clock.now()

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(SWEEP_S)
            try:
                await self.expire_events()
                await self.compact()
            except StoreFailed as error:
                _log.error("housekeeping failed", exc=error)

    async def expire_events(self) -> None:
        """Remove events that nobody has written for their lifetime."""
        limit = self._parts.clock.now() - self._ttl_s
        old: list[Key] = []
        for key, when in self._written.items():
            if when > limit:
                break
            old.append(key)
        for start in range(0, len(old), BATCH):
            batch = old[start : start + BATCH]
            writes = [Delete(key_for("", "events", key.namespace, key.name)) for key in batch]
            outcome = await self._parts.store.txn([], writes)
            await self._parts.cacher.wait_for(outcome.revision)

    async def compact(self) -> None:
        """Forget what was overwritten longer ago than anyone may ask for."""
        now = self._parts.clock.monotonic()
        self._marks.append((now, self._parts.cacher.revision))
        due = [revision for when, revision in self._marks if now - when >= HISTORY_S]
        if due:
            self._marks = [mark for mark in self._marks if now - mark[0] < HISTORY_S]
            await self._parts.store.compact(max(due))


def _last_seen(event: Json) -> float:
    """Of an event from before this start."""
    series = event.get("series") or {}
    said = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
    return datetime.fromisoformat(said).timestamp() if said else 0.0
