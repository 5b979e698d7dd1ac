"""The proxy and upstream's own binary beside one API server of ours, each as users start it.

    KUBE_PROXY=/path/to/kube-proxy python -m benchmarks.proxy.beside [--rounds N] [SERVICES ...]

Both get the same KubeProxyConfiguration and take turns in a network namespace of their own. What is
timed is what a client sees: from the start of the process, and from the PATCH of an EndpointSlice,
to the first connection that arrives at the right endpoint. Root only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.api.run import TOKEN, serving
from benchmarks.proxy.patch import NAMESPACE, fill
from sampan.api import kinds
from sampan.client.client import Client, PatchKind
from sampan.client.http import HttpTransport
from sampan.linux.real import netns

NODE = "spb-beside"
HERE, THERE = "192.0.2.1", "192.0.2.2"
"""The API server's end of the wire and the node's (RFC 5737; both within our namespaces)."""
PORTS = (8080, 8081)
MODES = ("nftables", "iptables")
SIZES = (100, 1000, 10000)
LARGEST = {("kube-proxy", "iptables"): 1000}
"""Beyond it upstream takes more than a minute for one load."""
CHANGES = 12
CALM_S = 1.1
"""Between changes: upstream gathers for a second (`minSyncPeriod`), and is asked after it."""
PATIENCE_S = 180.0
Figures = dict[str, float]


class Place(NamedTuple):
    who: str
    mode: str
    size: int


class Node:
    """Connects from the node; the endpoint of the probed Service is one listener or the other."""

    def __init__(self, doors: list[socket.socket]) -> None:
        self.doors = doors

    def until_at(self, which: int, address: str) -> None:
        """Connect again and again until the connection arrives at that listener."""
        until = time.monotonic() + PATIENCE_S
        while self._arrives(address) != which:
            if time.monotonic() > until:
                raise TimeoutError(f"{address} did not lead to port {PORTS[which]}")

    def _arrives(self, address: str) -> int:
        with netns.inside(f"/run/netns/{NODE}"):
            client = socket.socket()
        with client:
            client.settimeout(0.05)
            if client.connect_ex((address, 80)):
                time.sleep(0.0002)
                return -1
            for number, door in enumerate(self.doors):
                with contextlib.suppress(BlockingIOError):
                    door.accept()[0].close()
                    return number
        return -1


@contextlib.contextmanager
def node() -> Iterator[Node]:
    """A namespace with two listeners, and a wire from it to ours."""
    with contextlib.ExitStack() as undone:
        _ip(f"netns add {NODE}")
        undone.callback(_ip, f"netns del {NODE}")
        _ip(f"link add wire type veth peer name eth0 netns {NODE}")
        undone.callback(_ip, "link del wire")
        _ip(f"addr add {HERE}/24 dev wire", "link set wire up")
        for line in ("link set lo up", "link set eth0 up", f"addr add {THERE}/24 dev eth0"):
            _ip(f"-n {NODE} {line}")
        _ip(f"-n {NODE} route add default via {HERE}")
        with netns.inside(f"/run/netns/{NODE}"):
            doors = [undone.enter_context(socket.create_server((THERE, port))) for port in PORTS]
        for door in doors:
            door.setblocking(False)
        yield Node(doors)


def _ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True)


@contextlib.contextmanager
def running(place: Place, folder: Path, port: int) -> Iterator[int]:
    """The proxy's process, by its identifier."""
    config = folder / "proxy.yaml"
    config.write_text(yaml.safe_dump(configuration(place.mode, folder, port)))
    program = (
        [os.environ["KUBE_PROXY"]]
        if place.who == "kube-proxy"
        else [sys.executable, "-m", "sampan", "proxy"]
    )
    with (folder / f"{place.who}.log").open("w") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", NODE, *program, f"--config={config}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def configuration(mode: str, folder: Path, port: int) -> dict[str, object]:
    """What both are given; also writes the kubeconfig."""
    kubeconfig = folder / "kubeconfig"
    cluster = {"server": f"https://{HERE}:{port}", "insecure-skip-tls-verify": True}
    kubeconfig.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": mode, "hostnameOverride": "n1", "clusterCIDR": "10.244.0.0/16",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "conntrack": {"maxPerCore": 0, "min": 0},
    }  # fmt: skip


async def measured(place: Place, client: Client, folder: Path, port: int) -> Figures:
    with node() as bench:
        await point(client, 0)
        service = await client.get(kinds.SERVICES, "probed", NAMESPACE)
        address = service["spec"]["clusterIP"]
        begun = time.perf_counter()
        with running(place, folder, port) as pid:
            await asyncio.to_thread(bench.until_at, 0, address)
            found = {"start_s": time.perf_counter() - begun, "start_cpu_s": spent(pid)}
            times, before = [], 0.0
            for turn in range(CHANGES + 1):
                await asyncio.sleep(CALM_S)
                if turn == 1:
                    before = spent(pid)  # the first change finds the rest of the start at work
                begun = time.perf_counter()
                await point(client, (turn + 1) % 2)
                await asyncio.to_thread(bench.until_at, (turn + 1) % 2, address)
                times.append(time.perf_counter() - begun)
            found["change_ms"] = statistics.median(times[1:]) * 1e3
            found["change_max_ms"] = max(times[1:]) * 1e3
            await asyncio.sleep(CALM_S)
            found["change_cpu_ms"] = (spent(pid) - before) / CHANGES * 1e3
            found["rss_mb"] = resident_mb(pid)
    return found


async def point(client: Client, which: int) -> None:
    """Let the probed Service lead to that listener."""
    await client.patch(
        kinds.ENDPOINTSLICES,
        "probed-1",
        {"ports": [{"name": "", "port": PORTS[which], "protocol": "TCP"}]},
        namespace=NAMESPACE,
        kind=PatchKind.MERGE,
    )


def spent(pid: int) -> float:
    """Processor seconds of a process and of the programs that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def prepare(client: Client) -> None:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    addresses = [{"type": "InternalIP", "address": THERE}]
    await client.create(
        kinds.NODES, {"metadata": {"name": "n1"}, "status": {"addresses": addresses}}
    )
    meta = {"name": "probed", "namespace": NAMESPACE}
    await client.create(kinds.SERVICES, {"metadata": meta, "spec": {"ports": [{"port": 80}]}})
    labels = {"kubernetes.io/service-name": "probed"}
    await client.create(kinds.ENDPOINTSLICES, {
        "metadata": {"name": "probed-1", "namespace": NAMESPACE, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [THERE], "nodeName": "n1", "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": PORTS[0], "protocol": "TCP"}],
    })  # fmt: skip


async def taken(server: str, folder: Path, port: int, sizes: list[int], rounds: int) -> None:
    client = Client(HttpTransport(server, insecure=True), token=TOKEN)
    await prepare(client)
    filled = 0
    for size in sizes:
        await fill(client, filled, size)
        filled = size
        found: dict[Place, list[Figures]] = {}
        for turn in range(rounds):
            for place in places(size):
                print(f"round {turn + 1}: {place}", file=sys.stderr, flush=True)
                figures = await measured(place, client, folder, port)
                found.setdefault(place, []).append(figures)
        for place, several in found.items():
            print(row(place, several), flush=True)
    await client.close()


def places(size: int) -> Iterator[Place]:
    for mode in MODES:
        for who in ("sampan proxy", "kube-proxy"):
            asked = who == "sampan proxy" or os.environ.get("KUBE_PROXY")
            if asked and size <= LARGEST.get((who, mode), size):
                yield Place(who, mode, size)


def row(place: Place, several: list[Figures]) -> str:
    def middle(key: str) -> float:
        return statistics.median(one[key] for one in several)

    return (
        f"| {place.who}, {place.mode} | {place.size:,} × 2 | {len(several)} "
        f"| {middle('start_s'):.2f} | {middle('start_cpu_s'):.2f} "
        f"| {middle('change_ms'):.1f} | {middle('change_max_ms'):.1f} "
        f"| {middle('change_cpu_ms'):.1f} | {middle('rss_mb'):.0f} |"
    )


HEAD = (
    "| who | Services × endpoints | rounds | start to first connection s | its CPU s "
    "| PATCH to first connection p50 ms | max ms | CPU ms | RSS MB |\n" + "|---" * 9 + "|"
)


def report(sizes: list[int], rounds: int) -> None:
    """In a network namespace of its own, so that no address of the machine's is taken."""
    words = [sys.executable, "-m", "benchmarks.proxy.beside", "--inside", f"--rounds={rounds}"]
    subprocess.run(["unshare", "-n", *words, *map(str, sizes)], check=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.proxy.beside")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("sizes", type=int, nargs="*", default=[*SIZES])
    args = parser.parse_args(argv)
    if not args.inside:
        report(args.sizes, args.rounds)
        return
    if shutil.which("ip") is None:
        raise SystemExit("ip is needed: apt install iproute2")
    _ip("link set lo up")
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with serving(path, address="0.0.0.0") as server:
            url = f"https://127.0.0.1:{server.port}"
            asyncio.run(taken(url, path, server.port, args.sizes, args.rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
