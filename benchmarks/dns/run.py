"""Cluster DNS beside knot, unbound and CoreDNS: rounds one after the other, one core each.

Prints Markdown. CoreDNS takes part where `--coredns` or `$COREDNS` names its binary. Metrics are
on; figures are medians, ratios are taken within each round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.dns.churn import events, latency
from benchmarks.dns.load import _query, mixed, never_asked, once_each, outside
from benchmarks.dns.servers import (
    API_PORT,
    AS_AUTHORITY,
    AS_CACHE,
    CHAIN,
    FORWARD,
    KUBERNETES,
    LOOPS,
    Commands,
    Running,
    Server,
    started,
    zones,
)  # fmt: skip

Rows = dict[str, list[dict[str, float]]]
ASKED = _query(1, "svc-1.bench.svc.cluster.local.", 1)
ELSEWHERE = _query(1, "host-1.outside.example.net.", 1)
MANY = 50000
FORMULA_MB, FORMULA_KB = 54, 1


class Bench:
    """Which cores, how long, how often, with which peers."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.folder = folder
        cores = sorted(os.sched_getaffinity(0))
        self.core, self.load_core = cores[-1], cores[0]
        self.commands = Commands(folder, args.coredns)

    def compare(
        self, title: str, servers: Sequence[Server], queries: Sequence[bytes], first: bytes = ASKED
    ) -> None:
        """A table of the servers under the same load, in turn."""
        file = self.folder / "queries"
        file.write_text("\n".join(query.hex() for query in queries))
        rows: Rows = {server.name: [] for server in servers}
        with ExitStack() as stack:
            # They run side by side, idle but for the one that is being asked.
            running = [stack.enter_context(started(s, self.core, first)) for s in servers]
            for server in running:
                self.warm(server, file, len(queries))
            for _ in range(self.args.rounds):
                for server in running:
                    before = server.cpu_s()
                    result = self.load(server, file, self.args.seconds)
                    spent = server.cpu_s() - before
                    result["cpu_us"] = spent / max(1.0, result["answers"]) * 1e6
                    result |= self.load(server, file, 1.0, rate=2000)
                    rows[server.name].append(result)
            memory = {server.name: server.memory_mb() for server in running}
        show(title, rows, memory)

    def warm(self, server: Running, file: Path, names: int) -> None:
        """Every name once, and more; not where each is asked once only."""
        answered = 0.0
        while names < MANY and answered < 2 * names:
            answered += self.load(server, file, 1.0)["answers"]

    def load(
        self, server: Running, queries: Path, seconds: float, rate: int = 0
    ) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.dns.load", str(server.port), str(seconds)]
        command += [str(queries), *([str(rate)] if rate else [])]
        done = subprocess.run(
            ["taskset", "-c", str(self.load_core), *command],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        result: dict[str, float] = json.loads(done.stdout)
        return result


@contextmanager
def api(services: int, endpoints: int) -> Iterator[subprocess.Popen[str]]:
    """The API server of `fakeapi`."""
    command = [sys.executable, "-m", "benchmarks.dns.fakeapi", str(API_PORT)]
    process = subprocess.Popen(
        [*command, str(services), str(endpoints)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def show(title: str, rows: Rows, memory: dict[str, float]) -> None:
    print(f"\n### {title}\n")
    peers = [name for name in ("knot", "unbound", "coredns") if name in rows]
    ratios = "".join(f" QPS ÷ {peer} | CPU ÷ {peer} |" for peer in peers)
    print(f"| server | queries/s | CPU µs/query |{ratios} p50 µs | p99 µs | lost | memory MB |")
    print("|---" * (7 + 2 * len(peers)) + "|")
    for name, found in rows.items():
        middle = {key: statistics.median(row[key] for row in found) for key in found[0]}
        cells = [name, f"{middle['qps']:,.0f}", f"{middle['cpu_us']:.2f}"]
        for peer in peers:
            for key in ("qps", "cpu_us"):
                pairs = zip(found, rows[peer], strict=True)
                cells.append(f"{statistics.median(a[key] / b[key] for a, b in pairs):.2f}")
        cells += [f"{middle['p50_us']:.0f}", f"{middle['p99_us']:.0f}", f"{middle['lost']:.0f}"]
        print("| " + " | ".join([*cells, f"{memory[name]:.0f}"]) + " |", flush=True)


def throughput(bench: Bench) -> None:
    """In-cluster mix, the chain without a cache, names never asked, forwarded names at hand."""
    commands, services = bench.commands, bench.args.services
    zones(bench.folder, services)
    with api(services, 2):
        ours = [commands.sampan(loop, KUBERNETES, more="cache 30") for loop in LOOPS]
        peers = [*commands.knot(), *commands.unbound(AS_AUTHORITY)]
        core = commands.core(KUBERNETES, more="cache 30")
        queries = mixed(services)
        everyone = [*ours, *peers, *core, *commands.floors()]
        bench.compare("In-cluster mix: 60 % A, 20 % AAAA, 20 % searches", everyone, queries)
        for title, more in {"*rewrite* and *template*": CHAIN, "*log*": "log"}.items():
            ours = [commands.sampan(loop, KUBERNETES, more=more) for loop in LOOPS[:2]]
            core = commands.core(KUBERNETES, more=more)
            bench.compare(f"The same with {title}, no *cache*", ours + core, queries)
        ours = [commands.sampan(LOOPS[0], KUBERNETES, more=CHAIN)]
        core = commands.core(KUBERNETES, more=CHAIN)
        title = "Names that do not exist, each asked once: a denial for all of them at hand"
        bench.compare(title, ours + core, never_asked())
        unique(bench)
    origins = commands.knot()
    if origins:
        with started(origins[0], bench.load_core, ELSEWHERE):
            origin = origins[0].port
            found = [commands.sampan(loop, FORWARD, origin=origin) for loop in LOOPS[:2]]
            found += commands.unbound(AS_CACHE, origin=origin)
            found += commands.core(FORWARD, origin=origin)
            bench.compare("Forwarded names, cache hits", found, outside(), ELSEWHERE)


def unique(bench: Bench) -> None:
    """The chain itself: names that exist, each asked once of a server that is started for it."""
    queries = once_each(bench.args.services)
    file = bench.folder / "once"
    file.write_text("\n".join(query.hex() for query in queries))
    print(f"\n### {len(queries):,} names that exist, each asked once: A, AAAA, SRV, PTR\n")
    print("| server | Corefile | CPU µs/query | queries/s |\n|---|---|---|---|")
    commands = bench.commands
    for title, more in {"plain": "", "rewrite, template": CHAIN, "log": "log"}.items():
        servers = [commands.sampan(loop, KUBERNETES, more=more) for loop in LOOPS[:2]]
        for server in [*servers, *commands.core(KUBERNETES, more=more)]:
            found = [asked_once(bench, server, file) for _ in range(bench.args.rounds)]
            cpu, qps = (statistics.median(row[key] for row in found) for key in ("cpu", "qps"))
            print(f"| {server.name} | {title} | {cpu:.1f} | {qps:,.0f} |", flush=True)


def asked_once(bench: Bench, server: Server, file: Path) -> dict[str, float]:
    with started(server, bench.core, ASKED) as running:
        before = running.cpu_s()
        command = [sys.executable, "-m", "benchmarks.dns.load", str(running.port), "30", str(file)]
        done = subprocess.run(
            ["taskset", "-c", str(bench.load_core), *command, "once"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        result = json.loads(done.stdout)
        spent = running.cpu_s() - before
    return {"cpu": spent / max(1, result["answers"]) * 1e6, "qps": result["qps"]}


def under_change(bench: Bench) -> None:
    """Latency while endpoints change, and how soon a change is answered."""
    print("\n### While 1,000 slices a second change, at 2,000 queries/s\n")
    print("| server | p50 µs | p99 µs | max µs | event to answer p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|")
    with api(bench.args.services, 10) as process:
        loops = [bench.commands.sampan(loop, KUBERNETES, more="") for loop in LOOPS[:2]]
        for server in [*loops, *bench.commands.core(KUBERNETES, more="")]:
            with started(server, bench.core, ASKED) as running:
                quiet = latency(running.port, process, bench.args.seconds, mixed(1000))
                took = events(running.port, process, bench.args.events)
            print(
                f"| {server.name} | {quiet[0]:.0f} | {quiet[1]:.0f} | {quiet[2]:.0f} "
                f"| {took[0] * 1e3:.1f} | {took[1] * 1e3:.1f} |",
                flush=True,
            )


def scale(bench: Bench) -> None:
    """10,000 Services with 150,000 endpoints: from start to ready, and memory."""
    services, endpoints = (1000, 15) if bench.args.quick else (10000, 15)
    pods = services * endpoints
    limit = FORMULA_MB + FORMULA_KB * (pods + services) / 1024
    print(f"\n### {services:,} Services, {pods:,} endpoints\n")
    print(f"| server | start to ready s | memory MB (formula: {limit:.0f}) |\n|---|---|---|")
    with api(services, endpoints):
        for server in [
            bench.commands.sampan(LOOPS[0], KUBERNETES, more=""),
            *bench.commands.core(KUBERNETES, more=""),
        ]:
            with started(server, bench.core, ASKED) as running:
                print(
                    f"| {server.name} | {running.ready_s:.1f} | {running.memory_mb():.0f} |",
                    flush=True,
                )


PARTS = {"throughput": throughput, "change": under_change, "scale": scale}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks dns")
    parser.add_argument("--quick", action="store_true", help="two short rounds, a small cluster")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--coredns", default=os.environ.get("COREDNS", ""), help="its binary")
    parser.add_argument("--only", choices=list(PARTS), help="one part of it")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (1.0 if args.quick else 3.0)
    args.events = args.events or (40 if args.quick else 300)
    with tempfile.TemporaryDirectory(prefix="dns-bench-") as name:
        bench = Bench(args, Path(name))
        for part, run in PARTS.items():
            if args.only in (None, part):
                run(bench)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
