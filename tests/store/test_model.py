"""The stores against a model made of dicts: whatever is done to both, they answer the same."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sampan.store.base import Compacted, Compare, Delete, Entry, Put, Store
from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore

KEYS = st.sampled_from(["/a/1", "/a/2", "/a/10", "/b/1", "/a", "/b/é"])
VALUES = st.binary(max_size=3)
WRITES = st.lists(
    st.one_of(st.builds(Put, KEYS, VALUES), st.builds(Delete, KEYS)),
    max_size=3,
    unique_by=lambda write: write.key,
)


class StoreMachine(RuleBasedStateMachine):
    """`states[r]` is the whole content at revision r."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.open()
        self.states: dict[int, dict[str, Entry]] = {1: {}}
        self.revision = 1
        self.compacted = 0
        self.changes: list[tuple[int, str, bytes | None, bytes | None]] = []

    def open(self) -> Store:
        raise NotImplementedError

    def do(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.do(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.folder.cleanup()

    @rule(writes=WRITES, key=KEYS, known=st.booleans(), guarded=st.booleans())
    def txn(self, writes: list[Put | Delete], key: str, known: bool, guarded: bool) -> None:
        now = self.states[self.revision]
        real = now[key].modified if key in now else 0
        compares = [Compare(key, real if known else real + 1)] if guarded else []
        outcome = self.do(self.store.txn(compares, writes))
        assert outcome.succeeded == (known or not guarded)
        if outcome.succeeded:
            self._write(now, writes)
        assert outcome.revision == self.revision

    def _write(self, now: dict[str, Entry], writes: list[Put | Delete]) -> None:
        after, fresh = dict(now), self.revision + 1
        made = []
        for write in writes:
            old = after.get(write.key)
            before = old.value if old else None
            if isinstance(write, Put):
                created = old.created if old else fresh
                after[write.key] = Entry(write.key, write.value, created, fresh)
                made.append((fresh, write.key, write.value, before))
            elif old:
                del after[write.key]
                made.append((fresh, write.key, None, before))
        if made:
            self.revision, self.states[fresh] = fresh, after
            self.changes += made

    @rule(prefix=st.sampled_from(["", "/a", "/a/", "/b/", "/c"]), data=st.data())
    def list(self, prefix: str, data: Any) -> None:
        revision = data.draw(st.sampled_from([0, *self.states]))
        limit = data.draw(st.integers(0, 3))
        after = data.draw(st.one_of(st.just(""), KEYS))
        try:
            page = self.do(self.store.list(prefix, after=after, limit=limit, revision=revision))
        except Compacted:
            assert 0 < revision < self.compacted
            return
        assert not 0 < revision < self.compacted
        state = self.states[revision or self.revision]
        want = sorted(
            (e for k, e in state.items() if k.startswith(prefix) and k > after),
            key=lambda entry: entry.key,
        )
        shown = want[:limit] if limit else want
        assert [*page.entries] == shown
        assert page.revision == (revision or self.revision)
        assert (page.more, page.remaining) == (len(want) > len(shown), len(want) - len(shown))

    @rule(key=KEYS, data=st.data())
    def get(self, key: str, data: Any) -> None:
        revision = data.draw(st.sampled_from([0, *self.states]))
        if 0 < revision < self.compacted:
            return
        got = self.do(self.store.get(key, revision=revision))
        assert got == self.states[revision or self.revision].get(key)

    @rule(data=st.data())
    def compact(self, data: Any) -> None:
        revision = data.draw(st.sampled_from([*self.states]))
        self.do(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @rule(data=st.data(), prefix=st.sampled_from(["", "/a/", "/b"]))
    def watch(self, data: Any, prefix: str) -> None:
        after = data.draw(st.sampled_from([*self.states]))
        want = sorted(c for c in self.changes if c[0] > after and c[1].startswith(prefix))
        watch = self.store.watch(prefix, after=after)
        if after < self.compacted:
            try:
                self.do(anext(watch))
            except Compacted:
                return
            raise AssertionError("compacted history was told")
        if want:
            batch = self.do(anext(watch))
            assert sorted((c.revision, c.key, c.value, c.previous) for c in batch) == want
            self.do(watch.aclose())

    @invariant()
    def same_revision(self) -> None:
        assert self.do(self.store.revision()) == self.revision


class MemoryMachine(StoreMachine):
    def open(self) -> Store:
        return MemoryStore()


class SqliteMachine(StoreMachine):
    def open(self) -> Store:
        return SqliteStore(Path(self.folder.name) / "store.db")

    @rule()
    def restart(self) -> None:
        self.do(self.store.close())
        self.store = self.open()


TestMemory = MemoryMachine.TestCase
TestSqlite = SqliteMachine.TestCase
TestMemory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSqlite.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
