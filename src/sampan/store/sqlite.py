"""The default store: one SQLite file, durable, with group commit.

    txn() --> waiting --> one transaction for all that wait --> COMMIT (a thread: the disk flush)
                ^  more come meanwhile                             |
                +-------------- the next batch <-------------------+--> hub, then the callers

The statements run in the event loop (they only touch memory and take microseconds), the flush runs
in a thread, and while it runs the next batch gathers. So the loop never waits for the disk, and two
threads never fight over the interpreter for a batch's many small statements.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.store import sqlite_file as sql
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
    StoreFailed,
)
from sampan.store.history import changes_between
from sampan.store.hub import Hub
from sampan.store.memory import check_distinct

BATCH = 256
"""Transactions per flush; bounds how long one batch keeps the event loop."""
COMPACT_ROWS = 500
"""Rows that one compaction step removes, in the same spirit."""

Step = Callable[[int], tuple[Outcome, Sequence[Change]]]
"""Runs inside the transaction, at the revision before it."""


@dataclass(frozen=True, slots=True)
class _Job:
    step: Step
    future: asyncio.Future[Outcome]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one COMMIT makes true."""

    done: tuple[tuple[_Job, Outcome], ...]
    changes: tuple[Change, ...]
    revision: int


class SqliteStore:
    """Belongs to one event loop; opened by one process at a time."""

    def __init__(self, path: str | Path) -> None:
        """Raises StoreBusy where another process has it, StoreFailed where it cannot be used."""
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise StoreFailed(f"cannot open {path}: the folder {self._path.parent} is missing")
        self._lock = sql.Lock(self._path)
        try:
            self._writer = sql.connect(self._path)
            self._reader = sql.connect(self._path)
            os.chmod(self._path, 0o600)
        except BaseException:
            self._lock.release()
            raise
        self._hub = Hub(sql.number(self._reader, "revision"))
        self._hub.compacted = sql.number(self._reader, "compacted")
        self._waiting: deque[_Job] = deque()
        self._scheduled = False
        self._committing = False
        self._closed = False
        self._idle = asyncio.Event()
        self._handoff: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, _Batch] | None]
        self._handoff = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    # Reading.

    async def revision(self) -> int:
        return self._hub.revision

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        if not revision:
            version = sql.find(self._reader, key)
            return version.entry if version else None
        self._check(revision)
        version = sql.find(self._reader, key)
        if version is not None and version.modified <= revision:
            return version.entry
        for past in sql.ended_after(self._reader, revision):
            if past.key == key and past.modified <= revision:
                return past.entry
        return None

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        # One snapshot for the revision and the rows: a commit may land between two statements.
        self._reader.execute("BEGIN")
        try:
            newest = sql.number(self._reader, "revision")
            if revision and revision != newest:
                self._check(revision)
                return self._page_at(prefix, after, limit, revision)
            return self._page(prefix, after, limit, newest)
        finally:
            self._reader.execute("COMMIT")

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[tuple[Change, ...]]:
        return self._hub.watch(prefix, after, self._history)

    # Writing.

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        check_distinct(writes)

        def step(revision: int) -> tuple[Outcome, Sequence[Change]]:
            for compare in compares:
                if not sql.holds(self._writer, compare):
                    return Outcome(False, revision), ()
            changes = sql.write(self._writer, writes, revision + 1)
            return Outcome(True, revision + 1 if changes else revision), changes

        return await self._enqueue(step)

    async def compact(self, revision: int) -> None:
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)
        if revision > self._hub.compacted:
            await self._enqueue(self._announce(revision))
            self._hub.compacted = revision
        removed = COMPACT_ROWS
        while removed == COMPACT_ROWS:
            removed = 0

            def step(current: int) -> tuple[Outcome, Sequence[Change]]:
                nonlocal removed
                removed = sql.drop_past(self._writer, revision, COMPACT_ROWS)
                return Outcome(True, current), ()

            await self._enqueue(step)

    async def close(self) -> None:
        """Finish what was begun; nothing new is taken."""
        if self._closed:
            return
        self._closed = True
        while self._waiting or self._committing:
            self._idle.clear()
            await self._idle.wait()
        if self._thread is not None:
            self._handoff.put(None)
            self._thread.join()
        self._reader.close()
        self._writer.close()
        self._lock.release()

    # Inside.

    def _check(self, revision: int) -> None:
        if revision < self._hub.compacted:
            raise Compacted(self._hub.compacted)
        if revision > self._hub.revision:
            raise FutureRevision(self._hub.revision)

    def _page(self, prefix: str, after: str, limit: int, newest: int) -> Page:
        versions = sql.live(self._reader, prefix, after, newest, limit + 1 if limit else 0)
        more = bool(limit) and len(versions) > limit
        if more:
            versions.pop()
        entries = tuple(version.entry for version in versions)
        left = 0
        if more:
            left = sql.count_live(self._reader, prefix, entries[-1].key, None)
        return Page(entries, newest, more=more, remaining=left)

    def _page_at(self, prefix: str, after: str, limit: int, at: int) -> Page:
        now = sql.live(self._reader, prefix, after, at, limit + 1 if limit else 0)
        past = [
            version
            for version in sql.ended_after(self._reader, at)
            if version.modified <= at and version.key.startswith(prefix) and version.key > after
        ]
        versions = sorted((*now, *past), key=lambda version: version.key)
        more = bool(limit) and len(versions) > limit
        if limit:
            versions = versions[:limit]
        entries = tuple(version.entry for version in versions)
        left = 0
        if more:
            last = entries[-1].key
            left = sql.count_live(self._reader, prefix, last, at)
            left += sum(version.key > last for version in past)
        return Page(entries, at, more=more, remaining=left)

    def _history(self, after: int, upto: int) -> Iterable[Change]:
        versions = [
            *sql.modified_after(self._reader, after),
            *sql.ended_after(self._reader, after),
        ]
        return changes_between(versions, after, upto)

    def _announce(self, compacted: int) -> Step:
        def step(revision: int) -> tuple[Outcome, Sequence[Change]]:
            sql.set_number(self._writer, "compacted", compacted)
            return Outcome(True, revision), ()

        return step

    def _enqueue(self, step: Step) -> asyncio.Future[Outcome]:
        if self._closed:
            raise StoreFailed(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append(_Job(step, future))
        if not self._committing and not self._scheduled:
            # In the next turn: whoever writes in this one shares the flush.
            self._scheduled = True
            loop.call_soon(self._begin)
        return future

    def _begin(self) -> None:
        """Run the waiting jobs in one transaction and hand it to the committing thread."""
        self._scheduled = False
        jobs = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not jobs:
            self._idle.set()
            return
        try:
            batch = self._execute(jobs)
        except (sqlite3.Error, OverflowError, ValueError) as error:
            self._undo(jobs, error)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._commit, name="store", daemon=True)
            self._thread.start()
        self._committing = True
        self._handoff.put((asyncio.get_running_loop(), batch))

    def _execute(self, jobs: Sequence[_Job]) -> _Batch:
        self._writer.execute("BEGIN IMMEDIATE")
        revision = self._hub.revision
        done: list[tuple[_Job, Outcome]] = []
        changes: list[Change] = []
        for job in jobs:
            outcome, made = job.step(revision)
            revision = outcome.revision
            done.append((job, outcome))
            changes += made
        if revision != self._hub.revision:
            sql.set_number(self._writer, "revision", revision)
        return _Batch(tuple(done), tuple(changes), revision)

    def _commit(self) -> None:
        """The committing thread."""
        while (item := self._handoff.get()) is not None:
            loop, batch = item
            error: sqlite3.Error | None = None
            try:
                self._writer.execute("COMMIT")
            except sqlite3.Error as problem:
                error = problem
            try:
                loop.call_soon_threadsafe(self._committed, batch, error)
            except RuntimeError:
                return  # the loop is gone, and with it everyone who waited

    def _committed(self, batch: _Batch, error: sqlite3.Error | None) -> None:
        self._committing = False
        if error is not None:
            self._undo([job for job, _ in batch.done], error)
            return
        if batch.changes:
            self._hub.publish(batch.revision, batch.changes)
        for job, outcome in batch.done:
            if not job.future.done():
                job.future.set_result(outcome)
        self._begin()

    def _undo(self, jobs: Sequence[_Job], error: Exception) -> None:
        """Nothing of the batch happened: no revision was used, everyone is told."""
        if self._writer.in_transaction:
            self._writer.rollback()
        failure = StoreFailed(f"cannot write {self._path}: {error}")
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(failure)
        self._begin()
