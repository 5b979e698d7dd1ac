"""Follows the store and keeps every collection current; lets others wait for a revision."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from typing import Any, cast

from sampan.apiserver.cacher.collection import Collection, Event
from sampan.store.base import Change, Compacted, Store

ROOT = "/registry/"
GROUPS_WITHOUT_DOT = frozenset({"apps", "autoscaling", "batch", "policy"})
PAGE = 2000

Listener = Callable[[Event], None]


def prefix_of(group: str, plural: str) -> str:
    """Where a resource's objects are kept; a group is told from a core plural by its dot."""
    return f"{ROOT}{group}/{plural}/" if group else f"{ROOT}{plural}/"


def key_for(group: str, plural: str, namespace: str, name: str) -> str:
    tail = f"{namespace}/{name}" if namespace else name
    return prefix_of(group, plural) + tail


def split_key(key: str) -> tuple[str, str, str]:
    """Prefix, namespace and name of a key made by `key_for`."""
    parts = key.split("/")
    grouped = parts[2] in GROUPS_WITHOUT_DOT or "." in parts[2]
    at = 4 if grouped else 3
    prefix = "/".join(parts[:at]) + "/"
    if len(parts) - at > 1:
        return prefix, parts[at], parts[at + 1]
    return prefix, "", parts[at]


class Cacher:
    """`load` once, then `run` until cancelled."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.collections: dict[str, Collection] = {}
        self.revision = 0
        """Everything up to here is in the collections."""
        self.patience_s = 3.0
        """How long a request waits for a revision that has not been reached."""
        self._start = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = count()
        self._listeners: dict[str, list[Listener]] = {}

    def collection(self, group: str, plural: str) -> Collection:
        return self._collection(prefix_of(group, plural))

    def _collection(self, prefix: str) -> Collection:
        found = self.collections.get(prefix)
        if found is None:
            found = self.collections[prefix] = Collection(prefix)
            found.complete_after = self._start
        return found

    def listen(self, group: str, plural: str, listener: Listener) -> None:
        """Call back on each change of a resource, before watchers see it (indexes, allocators)."""
        self._listeners.setdefault(prefix_of(group, plural), []).append(listener)

    async def load(self) -> None:
        """Read the whole store at one revision."""
        after, revision = "", 0
        while True:
            page = await self.store.list(ROOT, after=after, limit=PAGE, revision=revision)
            revision = page.revision
            for entry in page.entries:
                prefix, namespace, name = split_key(entry.key)
                found = self._collection(prefix)
                found.load(namespace, name, entry.value, entry.modified, entry.created)
            if not page.more:
                break
            after = page.entries[-1].key
        self.revision = self._start = revision
        for found in self.collections.values():
            found.complete_after = revision

    async def run(self) -> None:
        """Apply what the store commits, in its order, until cancelled."""
        while True:
            try:
                await self._follow()
            except Compacted:
                # We fell behind further than the store remembers: see what is different now.
                await self._catch_up()

    async def _follow(self) -> None:
        batches = self.store.watch(ROOT, after=self.revision)
        async with aclosing(cast(Any, batches)):
            async for batch in batches:
                for change in batch:
                    self._apply(change)
                self._advance(batch[-1].revision)

    async def _catch_up(self) -> None:
        """Make changes of the difference between what is stored and what is here."""
        changes: list[Change] = []
        seen: set[str] = set()
        after, revision = "", 0
        while True:
            page = await self.store.list(ROOT, after=after, limit=PAGE, revision=revision)
            revision = page.revision
            for entry in page.entries:
                seen.add(entry.key)
                if entry.modified > self.revision:
                    changes.append(
                        Change(entry.key, entry.value, entry.modified, entry.created, None, 0)
                    )
            if not page.more:
                break
            after = page.entries[-1].key
        for prefix, found in self.collections.items():
            for item in found.items():
                key = prefix + (f"{item.namespace}/{item.name}" if item.namespace else item.name)
                if key not in seen:
                    changes.append(Change(key, None, revision, item.created, None, item.revision))
        for found in self.collections.values():
            # What happened in between was not seen: nobody can resume from before this.
            found.forget_before(self.revision + 1)
        for change in sorted(changes, key=lambda change: change.revision):
            self._apply(change)
        self._advance(revision)

    def _apply(self, change: Change) -> None:
        prefix, namespace, name = split_key(change.key)
        found = self._collection(prefix)
        event = found.apply(namespace, name, change)
        if event is None:
            return
        for listener in self._listeners.get(prefix, ()):
            listener(event)
        for taker in tuple(found.takers):
            taker.take(event)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            waiter = heapq.heappop(self._waiting)[2]
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, revision: int) -> None:
        """Return when everything up to a revision can be seen here."""
        if self.revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._ticket), waiter))
        await waiter

    async def reaches(self, revision: int) -> bool:
        """Whether a revision comes in time."""
        try:
            async with asyncio.timeout(self.patience_s):
                await self.wait_for(revision)
        except TimeoutError:
            return False
        return True
