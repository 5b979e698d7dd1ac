"""A whole cluster: the six time-to-k8s milestones, idle memory and CPU, pod start, down and delete.

    python -m benchmarks cluster [--rounds 5]

Needs root. Runs in a machine of its own (namespaces), as the end-to-end tests do. Milestones are
those of minikube's time-to-k8s chart: command, API answers, kubernetes Service, DNS Service, app
running, DNS answering; seconds since the command began.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))

from machine import Machine


def pss_mb(pids: list[int]) -> float:
    """Proportional set size of processes, MB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def all_pids(machine: Machine) -> list[int]:
    """Everything inside the machine but its init, as the outside sees it."""
    namespace = os.readlink(f"/proc/{machine.init}/ns/pid")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != machine.init:
            try:
                if os.readlink(entry / "ns" / "pid") == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def milestones(machine: Machine) -> dict[str, float]:
    """One `up` of a made cluster (warm: certificates exist), then down and up are timed too."""
    begun = time.monotonic()
    told = json.loads(machine.sampan("up", "-o", "json").stdout)
    row = {m["name"]: m["seconds"] for m in told["milestones"]}
    row["command returns"] = time.monotonic() - begun
    return row


def round_of(machine: Machine) -> dict[str, float]:
    row = milestones(machine)
    begun = time.monotonic()
    machine.sampan("down")
    row["down"] = time.monotonic() - begun
    return row


def inside(machine: Machine, *words: str) -> list[float]:
    """What `benchmarks.inside` measured, sorted."""
    state = str(machine.root / "state" / machine.name)
    folder = str(Path(__file__).parents[1])
    script = f"cd {folder} && exec {sys.executable} -m benchmarks.inside {state} {' '.join(words)}"
    found: list[float] = json.loads(machine.run("sh", "-c", script, timeout_s=300).stdout)
    return found


def row(name: str, took: list[float]) -> str:
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    return f"| {name} | {statistics.median(took):.1f} ms | {took[0]:.1f} ms | p99 {p99:.1f} ms |"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("benchmarks cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pods", type=int, default=50)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), "bench")
        machine.start()
        try:
            _run(machine, args)
        finally:
            machine.stop()
    return 0


def _run(machine: Machine, args: argparse.Namespace) -> None:
    machine.sampan("up", "-q")
    machine.sampan("down")
    rows = [round_of(machine) for _ in range(args.rounds)]
    print("| milestone (seconds since the command began) | median | min | max |\n|---|---|---|---|")
    for name in rows[0]:
        values = sorted(row[name] for row in rows)
        print(f"| {name} | {statistics.median(values):.2f} | {values[0]:.2f} | {values[-1]:.2f} |")
    machine.sampan("up", "-q")
    time.sleep(5)
    pids = all_pids(machine)
    memory, before = pss_mb(pids), cpu_s(pids)
    time.sleep(20)
    idle = (cpu_s(pids) - before) / 20 * 100
    print(f"| idle memory, everything, two nodes (PSS) | {memory:.0f} MB | | |")
    print(f"| idle CPU | {idle:.1f} % of a core | | |")
    node = str(machine.root / "run" / machine.name / "netns" / "node1")
    print(row("pod created to ready", inside(machine, "pods", str(args.pods))))
    print(row("endpoint written to first connection", inside(machine, "services", "100", node)))
    begun = time.monotonic()
    machine.sampan("delete", "--name", machine.name)
    print(f"| delete | {time.monotonic() - begun:.2f} | | |")
