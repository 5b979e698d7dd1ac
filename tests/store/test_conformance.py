"""What every store must do; each test runs against each implementation."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from sampan.store.base import (
    Change,
    Compacted,
    Compare,
    Delete,
    Entry,
    FutureRevision,
    Outcome,
    Put,
    Store,
)


async def put(store: Store, key: str, value: bytes = b"x") -> int:
    outcome = await store.txn([], [Put(key, value)])
    assert outcome.succeeded
    return outcome.revision


async def keys(store: Store, prefix: str, **more: object) -> list[str]:
    page = await store.list(prefix, **more)  # type: ignore[arg-type]
    return [entry.key for entry in page.entries]


async def test_an_empty_store_is_at_revision_one_and_the_first_write_is_two(store: Store) -> None:
    assert await store.revision() == 1
    assert await put(store, "/a") == 2
    assert await store.revision() == 2


async def test_a_written_key_is_read_back_with_its_revisions(store: Store) -> None:
    await put(store, "/a", b"one")
    await put(store, "/b")
    await put(store, "/a", b"two")
    assert await store.get("/a") == Entry("/a", b"two", created=2, modified=4)
    assert await store.get("/absent") is None


async def test_compare_zero_means_absent(store: Store) -> None:
    first = await store.txn([Compare("/a", 0)], [Put("/a", b"1")])
    assert first == Outcome(True, 2)
    assert await store.txn([Compare("/a", 0)], [Put("/a", b"2")]) == Outcome(False, 2)
    assert await store.txn([Compare("/a", 2)], [Put("/a", b"3")]) == Outcome(True, 3)
    entry = await store.get("/a")
    assert entry is not None
    assert entry.value == b"3"


async def test_all_writes_of_a_transaction_share_one_revision(store: Store) -> None:
    await store.txn([], [Put("/a", b""), Put("/b", b"")])
    page = await store.list("/")
    assert {entry.modified for entry in page.entries} == {2}


async def test_a_failed_compare_writes_nothing_at_all(store: Store) -> None:
    await put(store, "/a")
    refused = await store.txn([Compare("/a", 2), Compare("/b", 7)], [Put("/c", b""), Delete("/a")])
    assert refused == Outcome(False, 2)
    assert await keys(store, "/") == ["/a"]


async def test_deleting_an_absent_key_uses_no_revision(store: Store) -> None:
    assert await store.txn([], [Delete("/a")]) == Outcome(True, 1)


async def test_a_key_made_again_is_created_again(store: Store) -> None:
    await put(store, "/a")
    await store.txn([], [Delete("/a")])
    await put(store, "/a")
    assert await store.get("/a") == Entry("/a", b"x", created=4, modified=4)


async def test_the_same_key_twice_in_a_transaction_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="twice"):
        await store.txn([], [Put("/a", b""), Delete("/a")])


async def test_a_list_is_in_key_order_and_keeps_to_its_prefix(store: Store) -> None:
    for key in ("/p/b", "/p/a", "/pp/x", "/p0", "/p/é", "/p/\U0001f600", "/o"):
        await put(store, key)
    assert await keys(store, "/p/") == ["/p/a", "/p/b", "/p/é", "/p/\U0001f600"]
    assert len(await keys(store, "")) == 7


async def test_pages_tell_what_lies_behind_them(store: Store) -> None:
    for number in range(7):
        await put(store, f"/p/{number}")
    first = await store.list("/p/", limit=3)
    assert [e.key for e in first.entries] == ["/p/0", "/p/1", "/p/2"]
    assert (first.more, first.remaining) == (True, 4)
    last = await store.list("/p/", after="/p/3", limit=3)
    assert [e.key for e in last.entries] == ["/p/4", "/p/5", "/p/6"]
    assert (last.more, last.remaining) == (False, 0)


async def test_later_pages_show_the_first_pages_moment(store: Store) -> None:
    for number in range(5):
        await put(store, f"/p/{number}", b"old")
    first = await store.list("/p/", limit=2)
    await put(store, "/p/3", b"new")
    await put(store, "/p/22")
    await store.txn([], [Delete("/p/4")])
    second = await store.list("/p/", after="/p/1", limit=2, revision=first.revision)
    assert [(e.key, e.value) for e in second.entries] == [("/p/2", b"old"), ("/p/3", b"old")]
    assert (second.revision, second.more, second.remaining) == (first.revision, True, 1)
    third = await store.list("/p/", after="/p/3", limit=2, revision=first.revision)
    assert [(e.key, e.value) for e in third.entries] == [("/p/4", b"old")]
    assert not third.more


async def test_a_key_is_read_as_it_was(store: Store) -> None:
    await put(store, "/a", b"one")
    await put(store, "/a", b"two")
    await store.txn([], [Delete("/a")])
    one, two = await store.get("/a", revision=2), await store.get("/a", revision=3)
    assert one == Entry("/a", b"one", 2, 2)
    assert two == Entry("/a", b"two", 2, 3)
    assert await store.get("/a", revision=4) is None
    assert await store.get("/a") is None


async def test_the_future_is_refused(store: Store) -> None:
    for ask in (store.get("/a", revision=9), store.list("/", revision=9), store.compact(9)):
        with pytest.raises(FutureRevision):
            await ask


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store) -> None:
    await put(store, "/a", b"one")
    await put(store, "/b")
    await put(store, "/a", b"two")
    await store.compact(3)
    with pytest.raises(Compacted):
        await store.get("/a", revision=2)
    with pytest.raises(Compacted):
        await store.list("/", revision=2)
    assert await store.get("/a", revision=3) == Entry("/a", b"one", 2, 2)
    assert await keys(store, "/") == ["/a", "/b"]
    assert await store.revision() == 4
    assert await put(store, "/c") == 5


async def test_compaction_of_much_history_and_twice(store: Store) -> None:
    for number in range(1200):
        await put(store, "/a", str(number).encode())
    await store.compact(1000)
    await store.compact(900)
    assert await store.get("/a", revision=1000) == Entry("/a", b"998", 2, 1000)


async def test_a_watch_starts_strictly_after_its_revision(store: Store) -> None:
    await put(store, "/p/a", b"1")
    await put(store, "/p/b", b"2")
    await put(store, "/q/c")
    await store.txn([], [Delete("/p/a")])
    async with aclosing(store.watch("/p/", after=2)) as watch:  # type: ignore[type-var]
        batch = await anext(watch)
        assert batch == (
            Change("/p/b", b"2", 3, 3, None, 0),
            Change("/p/a", None, 5, 2, b"1", 2),
        )
        await put(store, "/p/b", b"3")
        assert await anext(watch) == (Change("/p/b", b"3", 6, 3, b"2", 3),)


async def test_a_committed_write_is_waiting_when_the_writer_continues(store: Store) -> None:
    got: list[Change] = []

    async def follow() -> None:
        async for batch in store.watch("/", after=1):
            got.extend(batch)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await put(store, "/a")
    await asyncio.sleep(0)
    assert [change.key for change in got] == ["/a"]
    task.cancel()
    await asyncio.wait((task,))


async def test_a_watch_from_a_forgotten_revision_says_so_at_once(store: Store) -> None:
    for _ in range(4):
        await put(store, "/a")
    await store.compact(4)
    with pytest.raises(Compacted):
        await anext(store.watch("/", after=3))
    async with aclosing(store.watch("/", after=4)) as watch:  # type: ignore[type-var]
        assert [c.revision for c in await anext(watch)] == [5]


async def test_a_watch_may_begin_in_the_future(store: Store) -> None:
    async with aclosing(store.watch("/", after=3)) as watch:  # type: ignore[type-var]
        step = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        for key in ("/a", "/b", "/c"):
            await put(store, key)
        assert [c.key for c in await step] == ["/c"]


async def test_every_watcher_sees_the_same_order(store: Store) -> None:
    async def follow() -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        async with aclosing(store.watch("/", after=1)) as watch:  # type: ignore[type-var]
            async for batch in watch:
                seen += [(c.revision, c.key) for c in batch]
                if len(seen) >= 160:
                    break
        return seen

    async def write(writer: int) -> None:
        for number in range(10):
            await put(store, f"/{writer}/{number}")

    results = await asyncio.gather(follow(), follow(), *(write(w) for w in range(16)))
    first, second = results[0], results[1]
    assert first == second
    assert [revision for revision, _ in first] == list(range(2, 162))


async def test_of_many_writers_with_one_expectation_one_wins(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.txn([Compare("/a", 0)], [Put("/a", str(n).encode())]) for n in range(20))
    )
    assert sum(outcome.succeeded for outcome in outcomes) == 1
    assert await store.revision() == 2
