"""An informer: a local, indexed copy of a collection, kept current by list and watch.

The cache is replaced in place, never emptied: after a lost watch, readers see the old state until
the new list is there. Cached objects are read-only: they are shared by everyone in the process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api.errors import ApiError, Expired, Gone
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.client.client import Client, WatchEvent
from sampan.client.transport import Unreachable
from sampan.client.trouble import told
from sampan.std import log
from sampan.std.backoff import Backoff
from sampan.std.clock import Clock, SystemClock

PAGE = 500
WATCH_S = (300.0, 600.0)
"""A watch lasts a random time in between, so that many do not end together (as client-go)."""
SILENCE_S = 180.0
"""A server sends a bookmark about every minute where nothing happens; a watch that hears nothing
for longer than this is begun again."""
SETTLE_S = 5.0
BACKOFF = Backoff(first_s=0.05, factor=2, cap_s=5, jitter=0.5)
"""Not longer: a connection that is refused costs next to nothing, and a server that is back after
an hour should not be waited out.
"""

Handler = Callable[[Json | None, Json | None], None]
Indexer = Callable[[Json], Iterable[str]]
_LOG = log.get("informer")


@dataclass(eq=False)
class Informer:
    """`run` for ever; until `synced` is set the cache is not whole."""

    client: Client
    rid: ResourceId
    namespace: str = field(default="", kw_only=True)
    labels: str = field(default="", kw_only=True)
    fields: str = field(default="", kw_only=True)
    indexers: Mapping[str, Indexer] | None = field(default=None, kw_only=True)
    transform: Callable[[Json], Json] | None = field(default=None, kw_only=True)
    clock: Clock = field(default_factory=SystemClock, kw_only=True)
    synced: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._objects: dict[Key, Json] = {}
        self._handlers: list[Handler] = []
        self._indexes = {name: _Index(fn) for name, fn in (self.indexers or {}).items()}
        self._revision = ""
        self._failures = 0
        self._listed_at = float("-inf")

    # Reading.

    def get(self, key: Key) -> Json | None:
        return self._objects.get(key)

    def items(self) -> Iterable[Json]:
        """All objects; take a list where the cache may change meanwhile."""
        return self._objects.values()

    def by(self, index: str, value: str) -> list[Json]:
        """The objects for which the indexer named this value."""
        return self._indexes[index].get(value)

    def __len__(self) -> int:
        return len(self._objects)

    # Wiring.

    def on_change(self, handler: Handler) -> None:
        """Call `handler(old, new)` at every change: old None for a new object, new None for a
        deleted one. A late handler is told of everything that is there already.
        """
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            self._call(handler, None, obj)

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """More indexes; one that is known by name stays."""
        for name, fn in indexers.items():
            if name not in self._indexes:
                index = self._indexes[name] = _Index(fn)
                for key, obj in self._objects.items():
                    index.change(key, None, obj)

    def clear(self) -> None:
        """Forget everything and say so: the resource is gone, and all its objects with it."""
        self._replace({})

    # Keeping it current.

    async def run(self) -> None:
        """List, then watch; list again when history is gone. Never returns."""
        while True:
            try:
                await self._list()
                self.synced.set()
                await self._watch_for_ever()
            except (Expired, Gone) as error:
                # The normal end of a watch that was cut off for long, from a server that is well;
                # at once after a list it is a server in trouble.
                if self.clock.monotonic() - self._listed_at < 1:
                    await self._pause(error)
                else:
                    self._failures = 0
            except (ApiError, Unreachable) as error:
                await self._pause(error)

    async def check(self) -> int:
        """List beside the watch, and put right what it has lost without a word; how many objects.

        What changes meanwhile looks different, too: only what differs in the same way after a
        while is wrong. Raises ApiError and Unreachable.
        """
        doubtful = await self._unlike()
        if not doubtful:
            return 0
        await self.clock.sleep(SETTLE_S)
        lost = 0
        for key, (held, now) in (await self._unlike()).items():
            before = doubtful.get(key)
            if before is None or self._objects.get(key) is not held or held is not before[0]:
                continue
            if _version(now) == _version(before[1]):
                self._set(key, now)
                lost += 1
        return lost

    async def _unlike(self) -> dict[Key, tuple[Json | None, Json | None]]:
        """What is not cached as the server has it: as it is cached, and as it is there."""
        seen: set[Key] = set()
        found: dict[Key, tuple[Json | None, Json | None]] = {}
        async for page in self._pages():
            for item in page.get("items") or ():
                key = key_of(item)
                seen.add(key)
                held = self._objects.get(key)
                # Only what differs is kept: a large collection is not held twice.
                if _version(held) != _version(item):
                    found[key] = held, self._shaped(item)
        found |= {key: (held, None) for key, held in self._objects.items() if key not in seen}
        return found

    async def _list(self) -> None:
        seen: dict[Key, Json] = {}
        revision = ""
        async for page in self._pages():
            for item in page.get("items") or ():
                obj = self._shaped(item)
                seen[key_of(obj)] = obj
            revision = page["metadata"]["resourceVersion"]
        self._revision = revision
        self._listed_at = self.clock.monotonic()
        if self.client.trouble.over():
            _LOG.info("the API server answers again")
        self._replace(seen)

    async def _pages(self) -> AsyncIterator[Json]:
        """The collection as it is now, page by page."""
        resume = ""
        while True:
            page = await self.client.list(
                self.rid,
                self.namespace,
                labels=self.labels,
                fields=self.fields,
                limit=PAGE,
                resume=resume,
            )
            yield page
            resume = page["metadata"].get("continue", "")
            if not resume:
                return

    async def _watch_for_ever(self) -> None:
        while True:
            begun = self.clock.monotonic()
            try:
                await self._watch_once()
            except (Expired, Gone):
                raise
            except (ApiError, Unreachable) as error:
                await self._pause(error)
                continue
            if self.clock.monotonic() - begun >= 1:
                self._failures = 0
            else:
                # A server that ends watches at once must not be hammered.
                await self.clock.sleep(BACKOFF.delay(self._failures, random.random))
                self._failures += 1

    async def _watch_once(self) -> None:
        events = self.client.watch(
            self.rid,
            self.namespace,
            resource_version=self._revision,
            labels=self.labels,
            fields=self.fields,
            timeout_s=random.uniform(*WATCH_S),
        )
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(SILENCE_S) as silence:
                heard = now()
                async for event in events:
                    self._failures = 0
                    self._take(event)
                    if now() - heard > 1:
                        heard = now()
                        silence.reschedule(heard + SILENCE_S)
        except TimeoutError:
            _LOG.info("the watch is silent, and begun again", resource=self.rid.qualified)

    def _take(self, event: WatchEvent) -> None:
        revision = event.object.get("metadata", {}).get("resourceVersion", "")
        if event.type == "BOOKMARK":
            self._revision = revision
            return
        obj = self._shaped(event.object)
        key = key_of(obj)
        self._revision = revision
        self._set(key, None if event.type == "DELETED" else obj, last=obj)

    def _replace(self, seen: dict[Key, Json]) -> None:
        for key in [key for key in self._objects if key not in seen]:
            self._set(key, None)
        for key, obj in seen.items():
            self._set(key, obj)

    def _set(self, key: Key, new: Json | None, last: Json | None = None) -> None:
        old = self._objects.get(key)
        if new is None:
            if self._objects.pop(key, None) is None:
                return
            # The handlers get the state that was deleted, which may be newer than the cached one.
            old_for_handlers = last or old
        else:
            if old is not None and _version(old) == _version(new):
                return
            self._objects[key] = new
            old_for_handlers = old
        for index in self._indexes.values():
            index.change(key, old, new)
        for handler in self._handlers:
            self._call(handler, old_for_handlers, new)

    def _call(self, handler: Handler, old: Json | None, new: Json | None) -> None:
        try:
            handler(old, new)
        except Exception as error:  # noqa: BLE001 - one handler must not stop the others' news
            _LOG.error("a handler failed", exc=error, resource=self.rid.qualified)

    def _shaped(self, obj: Json) -> Json:
        # Items of a List carry no kind of their own; readers may rely on it.
        obj.setdefault("apiVersion", self.rid.api_version)
        obj.setdefault("kind", self.rid.kind)
        # Often half of an object, read by nobody here, and kept by the server where an update
        # does not carry them.
        obj["metadata"].pop("managedFields", None)
        return self.transform(obj) if self.transform else obj

    async def _pause(self, error: Exception) -> None:
        delay = BACKOFF.delay(self._failures, random.random)
        self._failures += 1
        is_news = self.client.trouble.news(error, self.clock.monotonic())
        tell = _LOG.warning if is_news else _LOG.debug
        tell("cannot list or watch", error=told(error), resource=self.rid.qualified)
        await self.clock.sleep(delay)


class _Index:
    """From a value to the objects that have it; kept by key, so that a change costs its size."""

    def __init__(self, fn: Indexer) -> None:
        self._fn = fn
        self._rows: dict[str, dict[Key, Json]] = {}

    def get(self, value: str) -> list[Json]:
        row = self._rows.get(value)
        return list(row.values()) if row else []

    def change(self, key: Key, old: Json | None, new: Json | None) -> None:
        if old is not None:
            for value in self._fn(old):
                row = self._rows.get(value)
                if row is not None and row.pop(key, None) is not None and not row:
                    del self._rows[value]
        if new is not None:
            for value in self._fn(new):
                self._rows.setdefault(value, {})[key] = new


def _version(obj: Json | None) -> str:
    """Empty for an object that is not there."""
    version: str = obj["metadata"].get("resourceVersion", "") if obj else ""
    return version
