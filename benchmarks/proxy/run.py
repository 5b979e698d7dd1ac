"""The proxy by mode and size: cold load, restart, one change, a burst, memory; connects and
throughput through each mode; from a patched EndpointSlice to the rule. Root only.

Each measurement runs in a process and a network namespace of its own, rounds interleaved; tables
are Markdown and hold medians. Where `$KUBE_PROXY` names upstream's binary it takes its turn, too
(`--only beside`). `--quick` leaves the large sizes out (a minute or two); a full run takes about a
quarter of an hour on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.proxy import beside, connect, patch

SIZES = (1, 100, 1000, 10000, 30000)
QUICK = (1, 100, 1000)
MODES = ("nftables", "ebpf", "iptables", "userspace", "ipvs")
BASELINES = ("upstream-nftables", "upstream-iptables")
ONCE = {"iptables": 10000, "upstream-nftables": 10000, "upstream-iptables": 10000}
"""From this size on a mode is measured in one round only: a load takes a minute."""
MOST = {"userspace": 10000, "upstream-nftables": 10000, "upstream-iptables": 10000}
"""Beyond this size a mode is left out: more listening sockets than ports; many minutes."""
WIDE = 10
"""Endpoints of each Service in the largest cluster that is loaded."""
COLUMNS = (
    ("cold_s", "cold load s", "{:.3f}"),
    ("cold_cpu_s", "CPU s", "{:.3f}"),
    ("warm_s", "restart s", "{:.3f}"),
    ("warm_writes", "its writes", "{:.0f}"),
    ("p50_us", "one change p50 µs", "{:.0f}"),
    ("p99_us", "p99 µs", "{:.0f}"),
    ("cpu_us", "CPU µs", "{:.0f}"),
    ("cpu_p99_us", "CPU p99 µs", "{:.0f}"),
    ("burst_ms", "burst of 1,000 ms", "{:.0f}"),
    ("rss_mb", "RSS MB", "{:.0f}"),
)
Figures = dict[str, float]
Place = tuple[str, int, int]
"""A mode, the number of Services, and the endpoints of each."""


def one(place: Place) -> Figures | str:
    """A measurement in a process and a network namespace of its own; or why there is none."""
    words = [sys.executable, "-m", "benchmarks.proxy.one", *(str(part) for part in place)]
    try:
        done = subprocess.run(
            ["unshare", "-n", *words], capture_output=True, text=True, timeout=400, check=False
        )
    except subprocess.TimeoutExpired:
        return "more than 400 s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:90]
    return figures_of(done.stdout.splitlines()[-1])


def figures_of(line: str) -> Figures:
    """What a measurement printed."""
    found: Figures = json.loads(line)
    if "burst_s" in found:
        found["burst_ms"] = found["burst_s"] * 1e3
    return found


def places(sizes: tuple[int, ...], turn: int) -> Iterator[Place]:
    """What a round measures, modes side by side at each size."""
    for size in sizes:
        for mode in (*MODES, *BASELINES):
            if size <= MOST.get(mode, size) and (turn == 0 or size < ONCE.get(mode, size + 1)):
                yield mode, size, 2
    if max(sizes) >= 30000 and turn < 2:
        yield "nftables", max(sizes), WIDE


def rounds(sizes: tuple[int, ...], count: int) -> dict[Place, list[Figures] | str]:
    found: dict[Place, list[Figures] | str] = {}
    for turn in range(count):
        for place in places(sizes, turn):
            known = found.get(place, [])
            if isinstance(known, str):
                continue
            print(f"round {turn + 1}: {place}", file=sys.stderr, flush=True)
            figures = one(place)
            found[place] = figures if isinstance(figures, str) else [*known, figures]
    return found


def table(found: dict[Place, list[Figures] | str]) -> Iterator[str]:
    names = " | ".join(name for _, name, _ in COLUMNS)
    yield f"| mode | Services × endpoints | rounds | {names} |"
    yield "|---" * (len(COLUMNS) + 3) + "|"
    order = (*MODES, *BASELINES)
    for place in sorted(found, key=lambda one: (order.index(one[0]), one[1:])):
        mode, size, endpoints = place
        several = found[place]
        head = f"| {mode} | {size:,} × {endpoints} "
        if isinstance(several, str):
            yield f"{head}| {several} |" + " |" * len(COLUMNS)
            continue
        cells = [
            form.format(middle(several, key)) if key in several[0] else ""
            for key, _, form in COLUMNS
        ]
        yield f"{head}| {len(several)} | " + " | ".join(cells) + " |"


def middle(several: list[Figures], key: str) -> float:
    return statistics.median(one[key] for one in several)


def ratios(found: dict[Place, list[Figures] | str]) -> Iterator[str]:
    """What is asked of the figures, and what they are."""

    def get(key: str, mode: str, size: int, endpoints: int = 2) -> float | None:
        several = found.get((mode, size, endpoints))
        return middle(several, key) if isinstance(several, list) else None

    def line(
        what: str, asked: str, value: float | None, form: Callable[[float], str]
    ) -> Iterator[str]:
        if value is not None:
            yield f"| {what} | {asked} | {form(value)} |"

    def over(a: float | None, b: float | None) -> float | None:
        return a / b if a is not None and b else None

    top = max(size for _, size, _ in found)
    large = min(top, 10000)
    yield "\n| figure | asked | here |"
    yield "|---|---|---|"
    times = "{:.2f} ×".format
    for key, name in (("p50_us", "p50"), ("cpu_us", "CPU")):
        share = over(get(key, "nftables", top), get(key, "nftables", 100))
        yield from line(f"one change, {name}: {top:,} ÷ 100 Services", "1.5 ×", share, times)
    value = get("p50_us", "nftables", top)
    yield from line(f"one change p50, {top:,}", "300 µs", value, "{:.0f} µs".format)
    value = get("p99_us", "nftables", top)
    yield from line(f"one change p99, {top:,}", "2,000 µs", value, "{:.0f} µs".format)
    value = get("cold_s", "nftables", large)
    yield from line(f"cold load, {large:,} × 2", "0.5 s", value, "{:.2f} s".format)
    value = get("cold_s", "nftables", 30000, WIDE)
    yield from line(f"cold load, 30,000 × {WIDE}", "6 s", value, "{:.2f} s".format)
    value = get("rss_mb", "nftables", 30000, WIDE)
    yield from line(f"memory, 30,000 × {WIDE}", "600 MB", value, "{:.0f} MB".format)
    value = get("burst_ms", "nftables", large)
    yield from line(f"burst of 1,000, {large:,}", "100 ms", value, "{:.0f} ms".format)
    value = get("warm_s", "nftables", large)
    yield from line(f"restart unchanged, {large:,}", "1 s, 0 writes", value, "{:.2f} s".format)
    for mode in ("nftables", "iptables"):
        for key, name in (("cold_s", "cold load"), ("p50_us", "one change")):
            share = over(get(key, f"upstream-{mode}", large), get(key, mode, large))
            yield from line(
                f"{mode}, {name}: upstream's shape ÷ ours, {large:,}", "> 1", share, times
            )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks proxy")
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--rounds", type=int, default=0, help="5; with --quick 2")
    parser.add_argument(
        "--only", choices=("rules", "connect", "patch", "beside"), help="one part of it"
    )
    args = parser.parse_args(argv)
    sizes = QUICK if args.quick else SIZES
    count = args.rounds or (2 if args.quick else 5)
    if args.only in (None, "rules"):
        found = rounds(sizes, count)
        print("\n".join([*table(found), *ratios(found)]), flush=True)
    if args.only in (None, "connect"):
        connect.report(sizes, count)
    if args.only in (None, "patch"):
        patch.report(sizes)
    if args.only == "beside" or (args.only is None and os.environ.get("KUBE_PROXY")):
        beside.report([size for size in beside.SIZES if size <= max(sizes)], count)
