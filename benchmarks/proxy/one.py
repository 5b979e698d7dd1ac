"""One measurement, in the network namespace at hand: `python -m benchmarks.proxy.one MODE N`."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.proxy.shapes import PLACE, SETTINGS, objects, rules, upstream_change, upstream_shape
from sampan.proxy.backend import Backend
from sampan.proxy.config import configuration
from sampan.proxy.plan import plan, slice_of
from sampan.proxy.proxy import collecting_later

ENDPOINTS = 2
GROUP = "sampan-bench"
"""A control group without processes: the machine's own sockets are left alone."""
ROOTS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
CHANGES = {"nftables": 300, "ebpf": 300, "iptables": 10, "upstream-shape": 5}
BURST = 1000


def backend(mode: str) -> Backend[Any]:
    from sampan.cluster.parts.proxy_kernel import real_kernel

    made = real_kernel(configuration(), GROUP).backends[mode]()
    made.configure(SETTINGS)
    return made


async def measured(mode: str, count: int) -> dict[str, float]:
    """Seconds and microseconds of one mode at one size."""
    made = backend(mode)
    begun = time.perf_counter()
    with collecting_later():
        model = {one.key: one for one in (rules(number, ENDPOINTS) for number in range(count))}
    planned = time.perf_counter() - begun
    gc.collect()
    gc.freeze()
    begun = time.perf_counter()
    await made.resync(model)
    cold = time.perf_counter() - begun
    begun = time.perf_counter()
    await made.resync(model)
    warm = time.perf_counter() - begun
    times, cpu = [], time.process_time()
    for turn in range(CHANGES[mode]):
        service, slice_ = objects(turn * 37 % count, ENDPOINTS, turn + 1)
        view = slice_of(slice_)
        begun = time.perf_counter()
        new = plan(service, (view,) if view else (), PLACE)
        assert new is not None
        await made.load([made.render(new.key, model.get(new.key), new)])
        times.append(time.perf_counter() - begun)
        model[new.key] = new
    cpu = (time.process_time() - cpu) / CHANGES[mode]
    burst = min(BURST, count)
    fresh = [rules(number, ENDPOINTS, 9999) for number in range(burst)]
    begun = time.perf_counter()
    await made.load([made.render(one.key, model.get(one.key), one) for one in fresh])
    times.sort()
    return {
        "plan_s": planned,
        "cold_s": cold,
        "warm_s": warm,
        "p50_us": times[len(times) // 2] * 1e6,
        "p99_us": times[len(times) * 99 // 100] * 1e6,
        "cpu_us": cpu * 1e6,
        "burst_ms": (time.perf_counter() - begun) * 1e3,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def upstream(count: int) -> dict[str, float]:
    """The upstream shape through `nft -f`, as upstream's own tool loads it."""
    script = upstream_shape(count, ENDPOINTS)
    begun = time.perf_counter()
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    cold = time.perf_counter() - begun
    times = []
    for turn in range(CHANGES["upstream-shape"]):
        change = upstream_change(turn * 37 % count, turn + 1)
        begun = time.perf_counter()
        subprocess.run(["nft", "-f", "-"], input=change, text=True, check=True)
        times.append(time.perf_counter() - begun)
    times.sort()
    middle = times[len(times) // 2] * 1e6
    return {"cold_s": cold, "p50_us": middle, "p99_us": times[-1] * 1e6}


def main(argv: list[str]) -> None:
    mode, count = argv[0], int(argv[1])
    if mode == "upstream-shape":
        print(json.dumps(upstream(count)))
        return
    group = next(root / GROUP for root in ROOTS if (root / "cgroup.procs").exists())
    group.mkdir(exist_ok=True)
    try:
        print(json.dumps(asyncio.run(measured(mode, count))))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main(sys.argv[1:])
