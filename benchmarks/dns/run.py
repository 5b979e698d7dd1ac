"""Queries per second and CPU per query, in interleaved rounds; latency at 2,000 queries a second.

One core for the server, another for the load. Metrics are on at ours. Peers are knot and unbound
where they are installed, with the same names in a zone file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.dns.load import mixed
from benchmarks.dns.servers import Running, commands, prepare, started


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks dns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--services", type=int, default=1000)
    args = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="dns-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        prepare(folder, args.services)
        queries = folder / "queries"
        queries.write_text("\n".join(query.hex() for query in mixed(args.services)))
        # They run side by side, idle but for the one that is being asked.
        servers = [
            stack.enter_context(started(name, command, {cores[-1]}))
            for name, command in commands(folder).items()
        ]
        rows = measure(servers, queries, args.rounds, args.seconds, cores[0])
        show(servers, rows)
    return 0


def measure(
    servers: list[Running], queries: Path, rounds: int, seconds: float, core: int
) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for server in servers:
        load(server, queries, 3.0, core)  # every name once, and more
    for _ in range(rounds):
        for server in servers:
            before = server.cpu_s()
            result = load(server, queries, seconds, core)
            result["cpu_us"] = (server.cpu_s() - before) / max(1.0, result["answers"]) * 1e6
            result |= load(server, queries, 1.0, core, rate=2000)
            found[server.name].append(result)
    return found


def load(
    server: Running, queries: Path, seconds: float, core: int, rate: int = 0
) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.dns.load", str(server.port), str(seconds)]
    command += [str(queries), *([str(rate)] if rate else [])]
    done = subprocess.run(
        ["taskset", "-c", str(core), *command], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def show(servers: list[Running], rows: dict[str, list[dict[str, float]]]) -> None:
    """Medians; the ratio is of queries per second within each round."""
    print("| server | queries/s | of knot | CPU µs/query | p50 µs | p99 µs | lost | memory MB |")
    print("|---|---|---|---|---|---|---|---|")
    yardstick = rows.get("knot")
    for server in servers:
        found = rows[server.name]
        ratio = "-"
        if yardstick:
            pairs = zip(found, yardstick, strict=True)
            ratio = f"{statistics.median(one['qps'] / knot['qps'] for one, knot in pairs):.2f}"
        middle = {key: statistics.median(row[key] for row in found) for key in found[0]}
        print(
            f"| {server.name} | {middle['qps']:,.0f} | {ratio} | {middle['cpu_us']:.2f} "
            f"| {middle['p50_us']:.0f} | {middle['p99_us']:.0f} | {middle['lost']:.0f} "
            f"| {server.memory_mb():.0f} |"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
