"""The API server's figures: reads, durable creates, lists, watch fan-out, start, memory.

The server runs on one core (CPU 0), the load on the others. What counts most is the server's CPU
time for each request: it does not depend on who else is busy on the machine.

    python -m benchmarks api [get create list watch start memory cost]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.api.load import Tally, Watcher, repeat, request

TOKEN = "bench"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Served:
    """A server under test."""

    port: int
    pid: int
    ready_s: float

    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def pss_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) / 1024  # type: ignore[index]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        url = f"https://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(asked, context=insecure()) as answer:
            return json.loads(answer.read())


def insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def serving(folder: Path, *, warm: bool = False, address: str = "127.0.0.1") -> Iterator[Served]:
    """`sampan apiserver` on CPU 0; `warm` means that its keys are there already."""
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{TOKEN},bench,1,"system:masters"\n')
    command = [
        sys.executable, "-m", "sampan", "apiserver", "--data-dir", str(folder / "data"),
        "--bind-address", address, "--secure-port", "0", "--token-auth-file", str(tokens),
    ]  # fmt: skip
    if shutil.which("taskset"):
        command = ["taskset", "-c", "0", *command]
    begun = time.perf_counter()
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stderr=out)
    try:
        while not (found := re.search(r"serving .*port=(\d+)", log.read_text())):
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.005)
        served = Served(int(found[1]), process.pid, 0.0)
        urllib.request.urlopen(f"https://127.0.0.1:{served.port}/readyz", context=insecure())
        served.ready_s = time.perf_counter() - begun
        yield served
    finally:
        process.terminate()
        process.wait(10)


def shown(name: str, tally: Tally, seconds: float, cpu: float) -> str:
    ordered = sorted(tally.latencies)
    p50, p99 = (ordered[int(len(ordered) * q)] * 1e3 for q in (0.5, 0.99))
    rate, per = tally.done / seconds, cpu / max(tally.done, 1)
    failed = f", {tally.failed} failed" if tally.failed else ""
    return (
        f"{name}: {rate:,.0f}/s, {per * 1e6:.0f} us CPU each ({1 / per:,.0f}/s per core), "
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms{failed}"
    )


def configmap(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench"}},
        "data": {f"key{i}": "x" * 40 for i in range(8)},
    }


MAPS = "/api/v1/namespaces/default/configmaps"


def get(seconds: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        served.ask("POST", MAPS, configmap("one"))
        ask = request("GET", f"{MAPS}/one", TOKEN)
        before = served.cpu()
        tally = asyncio.run(repeat(served.port, insecure(), lambda: ask, 16, seconds))
        return [shown("GET, TLS, 16 connections", tally, seconds, served.cpu() - before)]


def create(seconds: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        number = 0

        def make() -> bytes:
            nonlocal number
            number += 1
            body = json.dumps(configmap(f"m{number}")).encode()
            return request("POST", MAPS, TOKEN, body)

        before = served.cpu()
        tally = asyncio.run(repeat(served.port, insecure(), make, 16, seconds))
        return [shown("create (durable), 16 writers", tally, seconds, served.cpu() - before)]


def endpoint_slice(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"slice-{number}", "namespace": "default",
            "labels": {"kubernetes.io/service-name": f"svc-{number}"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.1.{number % 250}.{i}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{i}",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": f"p-{number}-{i}"},
            }
            for i in range(1, 7)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }  # fmt: skip


SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


async def fill(served: Served, path: str, bodies: list[bytes]) -> None:
    waiting = list(reversed(bodies))
    done = asyncio.Event()

    def make() -> bytes:
        if not waiting:
            done.set()
            return request("GET", "/livez", TOKEN)
        return request("POST", path, TOKEN, waiting.pop())

    task = asyncio.create_task(repeat(served.port, insecure(), make, 16, 3600))
    await done.wait()
    task.cancel()


def list_(seconds: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        bodies = [json.dumps(endpoint_slice(n)).encode() for n in range(5000)]
        asyncio.run(fill(served, SLICES, bodies))
        ask = request("GET", SLICES, TOKEN)
        before = served.cpu()
        tally = asyncio.run(repeat(served.port, insecure(), lambda: ask, 1, seconds))
        cpu = (served.cpu() - before) / tally.done
        size = tally.bytes / tally.done / 1e6
        return [f"LIST of 5,000 EndpointSlices ({size:.1f} MB): {cpu * 1e3:.1f} ms CPU"]


def watch(seconds: float, watchers: int = 1000, rate: int = 20) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        served.ask("POST", MAPS, configmap("one"))
        return asyncio.run(_watch(served, seconds, watchers, rate))


async def _watch(served: Served, seconds: float, watchers: int, rate: int) -> list[str]:
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []
    listed = served.ask("GET", MAPS)
    version = listed["metadata"]["resourceVersion"]
    ask = request("GET", f"{MAPS}?watch=1&resourceVersion={version}", TOKEN)
    made = [
        await loop.create_connection(
            lambda: Watcher(ask, arrivals), "127.0.0.1", served.port, ssl=insecure()
        )
        for _ in range(watchers)
    ]
    await asyncio.gather(*(protocol.ready for _, protocol in made))
    sent: list[float] = []
    body = configmap("one")
    before, begun = served.cpu(), time.perf_counter()
    for number in range(int(seconds * rate)):
        body["data"]["count"] = str(number)
        sent.append(time.perf_counter())
        await loop.run_in_executor(None, served.ask, "PUT", f"{MAPS}/one", body)
        await asyncio.sleep(max(0.0, begun + (number + 1) / rate - time.perf_counter()))
    await asyncio.sleep(0.5)
    cpu = served.cpu() - before
    delays = sorted(
        at - max(s for s in sent if s <= at) for at in arrivals[:: max(1, len(arrivals) // 5000)]
    )
    p99 = delays[int(len(delays) * 0.99)] * 1e3
    for transport, _ in made:
        transport.close()
    each = cpu / max(len(arrivals), 1) * 1e6
    return [
        f"{watchers:,} watchers x {rate}/s: {len(arrivals):,} deliveries, {each:.1f} us CPU each, "
        f"write to arrival p50 {delays[len(delays) // 2] * 1e3:.1f} ms, p99 {p99:.1f} ms"
    ]


def start(seconds: float) -> list[str]:
    cold, warm = [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            with serving(Path(folder)) as served:
                cold.append(served.ready_s)
            with serving(Path(folder), warm=True) as served:
                warm.append(served.ready_s)
    return [
        f"start to /readyz: first {min(cold):.2f} s (median {sorted(cold)[2]:.2f}), "
        f"again {min(warm):.2f} s (median {sorted(warm)[2]:.2f})"
    ]


def memory(seconds: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        time.sleep(1)
        before = served.cpu()
        time.sleep(5)
        idle = (served.cpu() - before) / 5 * 100
        return [f"idle: {served.pss_mb():.0f} MB PSS, {idle:.2f} % of a core"]


def cost(seconds: float) -> list[str]:
    """What an update costs among 100 and among 100,000 objects."""
    found = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        for count in (100, 100_000):
            have = int(
                served.ask("GET", f"{MAPS}?limit=1")["metadata"].get("remainingItemCount", 0)
            )
            bodies = [json.dumps(configmap(f"m{n}")).encode() for n in range(have, count)]
            asyncio.run(fill(served, MAPS, bodies))
            number = 0

            def make() -> bytes:
                nonlocal number
                number += 1
                body = configmap(f"m{number % 100}")
                body["data"]["count"] = str(number)
                path = f"{MAPS}/m{number % 100}"
                return request("PUT", path, TOKEN, json.dumps(body).encode())

            before = served.cpu()
            tally = asyncio.run(repeat(served.port, insecure(), make, 16, seconds))
            found.append((served.cpu() - before) / tally.done * 1e6)
        size = served.pss_mb()
    return [
        f"update among 100 objects {found[0]:.0f} us CPU, among 100,000 {found[1]:.0f} us: "
        f"{found[1] / found[0]:.2f}; then {size:.0f} MB PSS"
    ]


FIGURES = {
    "start": start, "memory": memory, "get": get, "create": create, "list": list_, "watch": watch,
    "cost": cost,
}  # fmt: skip


def main(argv: list[str]) -> int:
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    with contextlib.suppress(OSError):
        # The load must not share the server's core.
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
    for name in argv or list(FIGURES):
        for line in FIGURES[name](4.0):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
