"""The proxy by mode and size: cold load, restart, one change, a burst, memory; then connects.

Root only. Each measurement runs in a network namespace of its own, rounds interleaved; the table
holds medians. `--full` adds the large sizes (minutes: the upstream shape alone takes more than one
at 10,000 Services).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks.proxy import connect

SHORT = (
    ("nftables", (10, 100, 1000, 10000)),
    ("ebpf", (10, 1000, 10000)),
    ("iptables", (10, 1000)),
    ("upstream-shape", (10, 1000)),
)
FULL = (
    ("nftables", (1, 10, 100, 1000, 10000, 30000)),
    ("ebpf", (10, 100, 1000, 10000, 30000)),
    ("iptables", (10, 100, 1000, 10000)),
    ("upstream-shape", (10, 100, 1000, 10000)),
)
COLUMNS = (
    ("cold_s", "cold load s", "{:.3f}"),
    ("warm_s", "restart s", "{:.3f}"),
    ("p50_us", "one change p50 µs", "{:.0f}"),
    ("p99_us", "p99 µs", "{:.0f}"),
    ("cpu_us", "CPU µs", "{:.0f}"),
    ("burst_ms", "burst of 1,000 ms", "{:.0f}"),
    ("rss_mb", "RSS MB", "{:.0f}"),
)


def one(mode: str, count: int) -> dict[str, float]:
    """A measurement in a process and a network namespace of its own."""
    command = ["unshare", "-n", sys.executable, "-m", "benchmarks.proxy.one", mode, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks proxy")
    parser.add_argument("--full", action="store_true", help="all sizes of all modes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-connect", action="store_true", help="leave the connects out")
    args = parser.parse_args(argv)
    plan = FULL if args.full else SHORT
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(args.rounds):
        for mode, sizes in plan:
            for size in sizes:
                if (
                    size >= 10000
                    and mode in ("iptables", "upstream-shape")
                    and (mode, size) in found
                ):
                    continue
                found.setdefault((mode, size), []).append(one(mode, size))
    print("| mode | Services × 2 | " + " | ".join(name for _, name, _ in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for (mode, size), rounds in found.items():
        cells = [
            form.format(statistics.median(one[key] for one in rounds)) if key in rounds[0] else ""
            for key, _, form in COLUMNS
        ]
        print(f"| {mode} | {size} | " + " | ".join(cells) + " |")
    small = statistics.median(one["p50_us"] for one in found["nftables", 10])
    large = statistics.median(one["p50_us"] for one in found["nftables", 10000])
    print(f"\none change at 10,000 ÷ at 10 Services, nftables: {large / small:.2f}\n")
    if not args.no_connect:
        connect.main([])
