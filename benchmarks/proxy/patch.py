"""From the PATCH of an EndpointSlice to the rule in the kernel, an API server in between.

    python -m benchmarks.proxy.patch https://127.0.0.1:6443 TOKEN [SERVICES]

The server is given; a namespace of it is filled and emptied again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.proxy.shapes import objects
from sampan.api import kinds
from sampan.client.client import Client, PatchKind
from sampan.client.http import HttpTransport
from sampan.cluster.parts.proxy import ProxySettings, build
from sampan.linux.real import netns
from sampan.proxy.config import configuration

NAMESPACE = f"bench-proxy-{os.getpid()}"
NETNS = "spb-patch"
ROUNDS = 100


async def fill(client: Client, count: int) -> None:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    for start in range(0, count, 50):
        await asyncio.gather(*(put(client, n) for n in range(start, min(count, start + 50))))


async def put(client: Client, number: int) -> None:
    service, slice_ = objects(number, 2)
    spec = {key: value for key, value in service["spec"].items() if key != "clusterIPs"}
    del spec["clusterIP"]
    meta = {"name": service["metadata"]["name"], "namespace": NAMESPACE}
    await client.create(kinds.SERVICES, {"metadata": meta, "spec": spec})
    slice_["metadata"]["namespace"] = NAMESPACE
    await client.create(kinds.ENDPOINTSLICES, slice_)


def main(argv: Sequence[str]) -> None:
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        asyncio.run(timed(argv))
    finally:
        subprocess.run(["ip", "netns", "del", NETNS], check=True)


async def timed(argv: Sequence[str]) -> None:
    server, token, *rest = argv
    count = int(rest[0]) if rest else 1000
    client = Client(HttpTransport(server, insecure=True), token=token)
    try:
        await fill(client, count)
        with netns.inside(f"/run/netns/{NETNS}"):
            config = configuration(
                {
                    "healthzBindAddress": "",
                    "metricsBindAddress": "",
                    "conntrack": {"maxPerCore": 0},
                }
            )
            part = build(
                Client(HttpTransport(server, insecure=True), token=token),
                ProxySettings("n1", config),
            )
        print(await measured(part, client))
    finally:
        await client.delete(kinds.NAMESPACES, NAMESPACE)


async def measured(part: Any, client: Client) -> str:
    """Milliseconds of each way, as a line of a table."""
    loaded = asyncio.Event()
    backend = part.proxy.backend
    load = backend.load

    async def noted(ops: Any) -> None:
        await load(ops)
        loaded.set()

    backend.load = noted
    ready = asyncio.Event()
    task = asyncio.ensure_future(part.run(ready.set))
    await ready.wait()
    times = []
    for turn in range(ROUNDS):
        _, slice_ = objects(turn % 50, 2, turn + 1)
        loaded.clear()
        begun = time.perf_counter()
        name = slice_["metadata"]["name"]
        body = {"endpoints": slice_["endpoints"]}
        await client.patch(
            kinds.ENDPOINTSLICES, name, body, namespace=NAMESPACE, kind=PatchKind.MERGE
        )
        await asyncio.wait_for(loaded.wait(), 10)
        times.append((time.perf_counter() - begun) * 1e3)
    task.cancel()
    await asyncio.wait((task,))
    times.sort()
    return (
        f"PATCH to kernel: p50 {times[ROUNDS // 2]:.1f} ms, p99 {times[ROUNDS * 99 // 100]:.1f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
