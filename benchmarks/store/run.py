"""How quick the SQLite store is: durable writes, what a write costs among many, watch latency.

Run `python -m benchmarks store`; it takes some seconds and a temporary folder on a real disk.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from sampan.store.base import Compare, Put
from sampan.store.sqlite import SqliteStore

VALUE = b"x" * 700


async def writes(store: SqliteStore, writers: int, seconds: float) -> float:
    """Creates per second with this many writers, each waiting for its own."""
    end = time.perf_counter() + seconds
    count = 0

    async def write(name: int) -> None:
        nonlocal count
        number = 0
        while time.perf_counter() < end:
            key = f"/registry/pods/default/{time.monotonic_ns()}-{name}-{number}"
            await store.txn([Compare(key, 0)], [Put(key, VALUE)])
            number += 1
            count += 1

    begun = time.perf_counter()
    await asyncio.gather(*(write(name) for name in range(writers)))
    return count / (time.perf_counter() - begun)


async def update_cost(store: SqliteStore, prefix: str, rounds: int) -> float:
    """CPU microseconds per update, 16 at a time."""
    begun = time.process_time()
    for number in range(rounds):
        await asyncio.gather(
            *(store.txn([], [Put(f"{prefix}{(number * 16 + n) % 100}", VALUE)]) for n in range(16))
        )
    return (time.process_time() - begun) / rounds / 16 * 1e6


async def fill(store: SqliteStore, prefix: str, count: int) -> None:
    for start in range(0, count, 1000):
        await store.txn([], [Put(f"{prefix}{n}", VALUE) for n in range(start, start + 1000)])


async def watch_latency(store: SqliteStore, rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of (watcher has it) - (write acknowledged), microseconds."""
    seen = asyncio.Event()
    at = 0.0

    async def follow() -> None:
        nonlocal at
        async for _ in store.watch("/w/", after=await store.revision()):
            at = time.perf_counter()
            seen.set()

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    gaps = []
    for number in range(rounds):
        seen.clear()
        await store.txn([], [Put(f"/w/{number}", VALUE)])
        acknowledged = time.perf_counter()
        await seen.wait()
        gaps.append((at - acknowledged) * 1e6)
    task.cancel()
    gaps.sort()
    return gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]


async def measure(folder: Path, seconds: float) -> None:
    store = SqliteStore(folder / "a.db")
    for writers in (1, 16, 64):
        rate = await writes(store, writers, seconds)
        print(f"durable creates, {writers:3d} writers   {rate:10,.0f} /s")
    median, worst = await watch_latency(store, 300)
    print(f"watch after acknowledgement    p50 {median:6.0f} µs   p99 {worst:6.0f} µs")
    await store.close()
    small, large = SqliteStore(folder / "small.db"), SqliteStore(folder / "large.db")
    await fill(small, "/o/", 1000)
    await fill(large, "/o/", 100_000)
    few = await update_cost(small, "/o/", 200)
    many = await update_cost(large, "/o/", 200)
    print(f"CPU per update among 1,000     {few:6.0f} µs")
    print(f"CPU per update among 100,000   {many:6.0f} µs   ratio {many / few:.2f}")
    begun = time.perf_counter()
    page = await large.list("/o/", limit=500)
    print(f"first page of 500 of 100,000   {(time.perf_counter() - begun) * 1e3:6.1f} ms")
    assert page.remaining == 99_500
    await small.close()
    await large.close()


def main(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="/var/tmp", help="where the files go (a real disk)")
    parser.add_argument("--seconds", type=float, default=2, help="length of each write run")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        asyncio.run(measure(Path(temporary), options.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
