"""What only a store on disk can get wrong: locks, full disks, sudden ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.store.base import Put, StoreBusy, StoreFailed
from sampan.store.sqlite import SqliteStore

WRITER = """
import asyncio, sys
from sampan.store.base import Put
from sampan.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    async def write(name):
        number = 0
        while True:
            outcome = await store.txn([], [Put(f"/{name}/{number}", b"x" * 300)])
            sys.stdout.write(f"/{name}/{number} {outcome.revision}\\n")
            sys.stdout.flush()
            number += 1
    await asyncio.gather(*(write(sys.argv[2] + str(n)) for n in range(4)))

asyncio.run(main())
"""
FULL = """
import asyncio, resource, sys
from sampan.store.base import Put, StoreFailed
from sampan.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    written = 0
    try:
        while True:
            await store.txn([], [Put(f"/{written}", b"x" * 9000)])
            written += 1
    except StoreFailed as error:
        sys.stderr.write(str(error))
    revision = await store.revision()
    assert revision == written + 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    outcome = await store.txn([], [Put("/after", b"")])
    assert outcome.revision == revision + 1
    await store.close()
    store = SqliteStore(sys.argv[1])
    assert len((await store.list("/")).entries) == written + 1
    await store.close()
    print(written)

asyncio.run(main())
"""


async def test_the_second_opener_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    with pytest.raises(StoreBusy, match=f"store.db is in use by process {os.getpid()}$"):
        SqliteStore(tmp_path / "store.db")
    await store.close()
    again = SqliteStore(tmp_path / "store.db")
    await again.close()


def test_what_is_no_store_is_refused_with_a_clear_word(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        SqliteStore(tmp_path / "store.db")
    with pytest.raises(StoreFailed, match=r"folder .* is missing"):
        SqliteStore(tmp_path / "absent" / "store.db")


async def test_history_and_revision_survive_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.txn([], [Put("/a", b"1")])
    await store.txn([], [Put("/a", b"2")])
    await store.compact(3)
    await store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert (await store.txn([], [Put("/a", b"3")])).revision == 4
    watch = store.watch("/", after=3)
    (change,) = await anext(watch)
    assert (change.previous, change.value, change.previous_modified) == (b"2", b"3", 3)
    await store.close()


async def test_concurrent_writers_share_flushes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    flushes = 0
    handoff = store._handoff

    class Counting:
        def put(self, item: object) -> None:
            nonlocal flushes
            flushes += 1
            handoff.put(item)  # type: ignore[arg-type]

        def get(self) -> object:
            return handoff.get()

    store._handoff = Counting()  # type: ignore[assignment]
    await asyncio.gather(*(store.txn([], [Put(f"/{n}", b"")]) for n in range(100)))
    assert flushes <= 2
    await store.close()


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.close()
    await store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.txn([], [Put("/a", b"")])


def test_a_full_disk_loses_nothing_acknowledged_and_passes(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10
    assert "cannot write" in ran.stderr


def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for round_number in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"r{round_number}-"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(chance.randrange(20, 300)):
            name, revision = writer.stdout.readline().split()
            acknowledged[name] = int(revision)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        # The last line may have been cut in the middle; every whole one is a promise.
        for line in rest.split("\n")[:-1]:
            acknowledged[line.split()[0]] = int(line.split()[1])
        there, newest = asyncio.run(_content(path))
        assert newest >= max(acknowledged.values()), f"seed {seed}"
        lost = {k for k, revision in acknowledged.items() if there.get(k) != revision}
        assert not lost, f"seed {seed}"
        assert len(set(there.values())) == len(there), "a revision was used twice"


async def _content(path: Path) -> tuple[dict[str, int], int]:
    store = SqliteStore(path)
    page = await store.list("/")
    await store.close()
    return {entry.key: entry.modified for entry in page.entries}, page.revision
