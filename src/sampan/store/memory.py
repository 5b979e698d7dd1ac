"""The store in memory: the same contract with nothing durable, for tests and throw-away servers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Iterable, Sequence

from sampan.store.base import (
    Change,
    Compacted,
    Compare,
    Delete,
    Entry,
    FutureRevision,
    Outcome,
    Page,
    Put,
)
from sampan.store.history import Version, changes_between, end_of
from sampan.store.hub import Hub


class MemoryStore:
    """Every call is finished when it returns to the event loop."""

    def __init__(self) -> None:
        self._hub = Hub(revision=1)
        self._live: dict[str, Version] = {}
        self._keys: list[str] = []
        self._past: list[Version] = []
        """In the order in which they ended."""

    async def revision(self) -> int:
        return self._hub.revision

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        self._check(revision)
        live = self._live.get(key)
        if not revision or (live and live.modified <= revision):
            return live.entry if live else None
        for version in self._ended_after(revision):
            if version.key == key and version.modified <= revision:
                return version.entry
        return None

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        self._check(revision)
        at = revision or self._hub.revision
        keys = self._range(prefix, after)
        if at == self._hub.revision:
            count = len(keys)
            chosen = [self._live[key].entry for key in (keys[:limit] if limit else keys)]
        else:
            entries = self._entries_at(at, prefix, after, keys)
            count = len(entries)
            chosen = list(entries[:limit] if limit else entries)
        left = count - len(chosen)
        return Page(tuple(chosen), at, more=left > 0, remaining=left)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        for compare in compares:
            live = self._live.get(compare.key)
            if (live.modified if live else 0) != compare.modified:
                return Outcome(False, self._hub.revision)
        check_distinct(writes)
        revision = self._hub.revision + 1
        changes = [c for c in (self._write(w, revision) for w in writes) if c is not None]
        if changes:
            self._hub.publish(revision, changes)
        return Outcome(True, self._hub.revision)

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[tuple[Change, ...]]:
        return self._hub.watch(prefix, after, self._history)

    async def compact(self, revision: int) -> None:
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)
        if revision <= self._hub.compacted:
            return
        self._hub.compacted = revision
        del self._past[: bisect_right(self._past, revision, key=lambda v: v.until)]

    async def close(self) -> None:
        return None

    def _check(self, revision: int) -> None:
        if revision and revision < self._hub.compacted:
            raise Compacted(self._hub.compacted)
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)

    def _write(self, write: Put | Delete, revision: int) -> Change | None:
        old = self._live.get(write.key)
        deleted = isinstance(write, Delete)
        if old is None and deleted:
            return None
        if old is not None:
            ended = Version(old.key, old.value, old.created, old.modified, revision, deleted)
            self._past.append(ended)
        before = old.value if old else None
        before_modified = old.modified if old else 0
        created = old.created if old else revision
        if isinstance(write, Put):
            if old is None:
                insort(self._keys, write.key)
            self._live[write.key] = Version(write.key, write.value, created, revision)
            value: bytes | None = write.value
        else:
            del self._live[write.key]
            del self._keys[bisect_left(self._keys, write.key)]
            value = None
        return Change(write.key, value, revision, created, before, before_modified)

    def _range(self, prefix: str, after: str) -> Sequence[str]:
        end = end_of(prefix)
        start = bisect_left(self._keys, prefix)
        if after:
            start = max(start, bisect_right(self._keys, after))
        stop = len(self._keys) if end is None else bisect_left(self._keys, end)
        return self._keys[start:stop]

    def _entries_at(self, at: int, prefix: str, after: str, keys: Iterable[str]) -> Sequence[Entry]:
        found = [self._live[key].entry for key in keys if self._live[key].modified <= at]
        found += [
            version.entry
            for version in self._ended_after(at)
            if version.modified <= at
            and version.key.startswith(prefix)
            and (not after or version.key > after)
        ]
        return sorted(found, key=lambda entry: entry.key)

    def _ended_after(self, revision: int) -> Sequence[Version]:
        return self._past[bisect_right(self._past, revision, key=lambda v: v.until) :]

    def _history(self, after: int, upto: int) -> Sequence[Change]:
        versions = [*self._live.values(), *self._ended_after(after)]
        return changes_between(versions, after, upto)


def check_distinct(writes: Sequence[Put | Delete]) -> None:
    """A key is text that UTF-8 can hold, and is written once in a transaction, as in etcd.

    Raises ValueError.
    """
    for write in writes:
        write.key.encode()
    if len(writes) > 1 and len({write.key for write in writes}) != len(writes):
        raise ValueError("a transaction writes the same key twice")
