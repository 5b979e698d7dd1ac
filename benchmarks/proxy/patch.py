"""From the PATCH of an EndpointSlice to the rule in the kernel, our API server in between.

    python -m benchmarks.proxy.patch [SERVICES ...]

Starts an API server of its own, fills a namespace, and runs the proxy in a network namespace.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.api.run import TOKEN, serving
from benchmarks.proxy.shapes import objects
from sampan.api import kinds
from sampan.client.client import Client, PatchKind
from sampan.client.http import HttpTransport
from sampan.cluster.parts.proxy import ProxySettings, build
from sampan.linux.real import netns
from sampan.proxy.config import configuration

NAMESPACE = "bench-proxy"
NETNS = "spb-patch"
ROUNDS = 200
ABREAST = 50
QUIET = {"healthzBindAddress": "", "metricsBindAddress": "", "conntrack": {"maxPerCore": 0}}


async def fill(client: Client, first: int, count: int) -> None:
    for start in range(first, count, ABREAST):
        stop = min(count, start + ABREAST)
        await asyncio.gather(*(put(client, number) for number in range(start, stop)))


async def put(client: Client, number: int) -> None:
    service, slice_ = objects(number, 2)
    spec = {key: value for key, value in service["spec"].items() if not key.startswith("clusterIP")}
    meta = {"name": service["metadata"]["name"], "namespace": NAMESPACE}
    await client.create(kinds.SERVICES, {"metadata": meta, "spec": spec})
    slice_["metadata"]["namespace"] = NAMESPACE
    await client.create(kinds.ENDPOINTSLICES, slice_)


async def measured(server: str, client: Client, count: int) -> tuple[float, list[float]]:
    """Seconds until the proxy is in force, and the milliseconds of each way, sorted."""
    with netns.inside(f"/run/netns/{NETNS}"):
        own = Client(HttpTransport(server, insecure=True), token=TOKEN)
        part: Any = build(own, ProxySettings("n1", configuration(QUIET)))
    loaded, ready = asyncio.Event(), asyncio.Event()
    load = part.proxy.backend.load

    async def noted(ops: Any) -> None:
        await load(ops)
        loaded.set()

    part.proxy.backend.load = noted
    begun = time.perf_counter()
    task = asyncio.ensure_future(part.run(ready.set))
    await ready.wait()
    start = time.perf_counter() - begun
    times = []
    for turn in range(ROUNDS):
        # Endpoints that no earlier turn, at this or a smaller size, has given it.
        _, slice_ = objects(turn * 37 % count, 2, count + turn)
        loaded.clear()
        begun = time.perf_counter()
        await client.patch(
            kinds.ENDPOINTSLICES,
            slice_["metadata"]["name"],
            {"endpoints": slice_["endpoints"]},
            namespace=NAMESPACE,
            kind=PatchKind.MERGE,
        )
        await asyncio.wait_for(loaded.wait(), 10)
        times.append((time.perf_counter() - begun) * 1e3)
    task.cancel()
    await asyncio.wait((task,))
    await own.close()
    return start, sorted(times)


async def timed(server: str, sizes: Sequence[int]) -> None:
    client = Client(HttpTransport(server, insecure=True), token=TOKEN)
    await client.create(kinds.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    filled = 0
    for size in sizes:
        print(f"patch: {size}", file=sys.stderr, flush=True)
        await fill(client, filled, size)
        filled = size
        start, times = await measured(server, client, size)
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"| {size:,} | {p50:.1f} | {p99:.1f} | {start:.2f} |", flush=True)
    await client.close()


def report(sizes: Sequence[int]) -> None:
    print("\n| Services | PATCH to the rule p50 ms (asked: 10) | p99 ms | start s |")
    print("|---|---|---|---|", flush=True)
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
            asyncio.run(timed(f"https://127.0.0.1:{server.port}", sizes))
    finally:
        subprocess.run(["ip", "netns", "del", NETNS], check=True)


def main(argv: Sequence[str]) -> None:
    report([int(word) for word in argv] or [100, 1000, 10000])


if __name__ == "__main__":
    main(sys.argv[1:])
