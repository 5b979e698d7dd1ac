"""One measurement, in the network namespace at hand: `python -m benchmarks.proxy.one MODE N [E]`.

Prints one line of JSON. Wall time and, beside it, processor time of this process and of the
programs that it starts: on a busy machine only the latter says much.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.proxy import shapes
from benchmarks.proxy.shapes import NODE_IP, PLACE, SETTINGS, objects, rules
from sampan.linux.real.iptables import generation
from sampan.proxy.backend import Backend
from sampan.proxy.config import configuration
from sampan.proxy.plan import plan, slice_of
from sampan.proxy.proxy import collecting_later

GROUP = "sampan-bench"
"""A control group without processes: the machine's own sockets are left alone."""
ROOTS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
CHANGES = {"nftables": 1000, "ebpf": 1000, "userspace": 200, "iptables": 15, "ipvs": 100}
BASELINE_CHANGES = 5
BURST = 1000
Figures = dict[str, float]


def backend(mode: str) -> Backend[Any]:
    from sampan.cluster.parts.proxy_kernel import real_kernel

    made = real_kernel(configuration(), GROUP).backends[mode]()
    made.configure(SETTINGS)
    return made


def transactions() -> int:
    """How many nftables has taken; none where the kernel has none."""
    try:
        return int.from_bytes(generation())
    except OSError:
        return 0


def spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited.ru_utime + waited.ru_stime


@contextmanager
def timed(into: Figures, name: str) -> Iterator[None]:
    """Seconds of a block, and of the processor, as NAME_s and NAME_cpu_s."""
    cpu, begun = spent(), time.perf_counter()
    yield
    into[f"{name}_s"] = time.perf_counter() - begun
    into[f"{name}_cpu_s"] = spent() - cpu


async def measured(mode: str, count: int, endpoints: int) -> Figures:
    """The figures of one mode at one size."""
    tell(["ip", "-batch", "-"], f"link set lo up\naddr add {NODE_IP}/32 dev lo\n")
    made = backend(mode)
    why = made.probe()
    if why:
        raise SystemExit(why)
    found: Figures = {}
    with timed(found, "plan"), collecting_later():
        model = {one.key: one for one in (rules(number, endpoints) for number in range(count))}
    gc.collect()
    with timed(found, "cold"), collecting_later():
        await made.resync(model)
    # As the proxy does: what stays for ever is not looked through for garbage.
    gc.freeze()
    before = transactions()
    with timed(found, "warm"), collecting_later():
        if mode != "userspace":
            # Opened anew, as a proxy that was started again; that mode's own process goes on.
            made = backend(mode)
            made.probe()
        await made.resync(model)
    found["warm_writes"] = transactions() - before
    times, costs = [], []
    for turn in range(CHANGES[mode]):
        service, slice_ = objects(turn * 37 % count, endpoints, turn + 1)
        view = slice_of(slice_)
        cpu, begun = spent(), time.perf_counter()
        # As the proxy does: garbage is collected once the kernel has been told.
        with collecting_later():
            new = plan(service, (view,) if view else (), PLACE)
            assert new is not None
            await made.load([made.render(new.key, model.get(new.key), new)])
        times.append(time.perf_counter() - begun)
        costs.append(spent() - cpu)
        model[new.key] = new
    found |= spread(times, costs)
    fresh = [rules(number, endpoints, 9999) for number in range(min(BURST, count))]
    with timed(found, "burst"):
        await made.load([made.render(one.key, model.get(one.key), one) for one in fresh])
    found["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await made.cleanup()
    return found


def spread(times: list[float], costs: list[float]) -> Figures:
    times.sort()
    costs.sort()
    return {
        "p50_us": times[len(times) // 2] * 1e6,
        "p99_us": times[len(times) * 99 // 100] * 1e6,
        "cpu_us": sum(costs) / len(costs) * 1e6,
        "cpu_p99_us": costs[len(costs) * 99 // 100] * 1e6,
    }


def baseline(command: list[str], cold: str, change: Callable[[int], str]) -> Figures:
    """A rule set of upstream's shape through the program that upstream itself uses."""
    found: Figures = {}
    with timed(found, "cold"):
        tell(command, cold)
    times, costs = [], []
    for turn in range(BASELINE_CHANGES):
        script = change(turn)
        cpu, begun = spent(), time.perf_counter()
        tell(command, script)
        times.append(time.perf_counter() - begun)
        costs.append(spent() - cpu)
    return found | spread(times, costs)


def tell(command: list[str], script: str) -> None:
    subprocess.run(command, input=script, text=True, check=True)


def upstream(mode: str, count: int, endpoints: int) -> Figures:
    if mode == "upstream-nftables":
        cold = shapes.upstream_shape(count, endpoints)
        return baseline(
            ["nft", "-f", "-"],
            cold,
            lambda turn: shapes.upstream_change(turn * 37 % count, turn + 1),
        )
    cold, change = shapes.upstream_iptables(count, endpoints)
    return baseline(["iptables-restore", "--noflush"], cold, change)


def main(argv: list[str]) -> None:
    mode, count = argv[0], int(argv[1])
    endpoints = int(argv[2]) if len(argv) > 2 else 2
    if mode.startswith("upstream-"):
        print(json.dumps(upstream(mode, count, endpoints)))
        return
    if mode != "ebpf":
        print(json.dumps(asyncio.run(measured(mode, count, endpoints))))
        return
    group = next(root / GROUP for root in ROOTS if (root / "cgroup.procs").exists())
    group.mkdir(exist_ok=True)
    try:
        print(json.dumps(asyncio.run(measured(mode, count, endpoints))))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main(sys.argv[1:])
