"""How long a TCP connect takes through the rules, and how much goes through them: each mode has a
client, a node and an endpoint in namespaces of its own, loaded once; then all take turns.

client 172.31.0.2 -- 172.31.0.1 node 172.31.1.1 -- 172.31.1.2 endpoint (all of 10.128.0.0/9)

In eBPF mode the client is in the control group whose sockets are translated. The lanes
called linear have upstream's single list of rules instead of our division, by both variants of
iptables; to load 10,000 Services takes minutes on nf_tables. Direct connects go through the same
node, at an endpoint's own address, and pass that list, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.proxy.one import GROUP, ROOTS, backend
from benchmarks.proxy.shapes import NODE_IP, endpoint, iptables_script, rules, vip
from sampan.linux.real import netns
from sampan.proxy.model import Rules

MODES = ("nftables", "ebpf", "iptables", "userspace")
SCRIPTED = {
    "legacy": ("iptables-legacy-restore", False),
    "legacy-linear": ("iptables-legacy-restore", True),
    "iptables-linear": ("iptables-nft-restore", True),
}
"""Rules by a script for a program; True: as upstream has them, one after the other."""
LEAST = dict.fromkeys(SCRIPTED, 10000)
MOST = {"iptables": 10000, "iptables-linear": 10000, "userspace": 1000}
CONNECTS = 1000
STREAM_S = 0.4
PORT, SINK = 8080, 8081
Target = tuple[str, int]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


class Lane:
    """Three namespaces with a server, and one mode's rules in the middle one."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.client, self.node, self.end = (f"spb-{mode}-{part}" for part in "cne")
        self._server = 0
        self._backend: Any = None
        self._loop = asyncio.new_event_loop()

    def build(self, size: int) -> None:
        for name in (self.client, self.node, self.end):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for at, (one, device, peer) in enumerate(
            ((self.client, "spb0", "eth0"), (self.end, "spb1", "eth1"))
        ):
            link = ("ip", "link", "add", device, "netns", one, "type", "veth", "peer", peer)
            run(*link, "netns", self.node)
            for name, dev, last in ((one, device, 2), (self.node, peer, 1)):
                run("ip", "-n", name, "addr", "add", f"172.31.{at}.{last}/24", "dev", dev)
                run("ip", "-n", name, "link", "set", dev, "up")
            run("ip", "-n", one, "route", "add", "default", "via", f"172.31.{at}.1")
        run("ip", "-n", self.node, "addr", "add", f"{NODE_IP}/32", "dev", "lo")
        run("ip", "-n", self.end, "route", "add", "local", "10.128.0.0/9", "dev", "lo")
        run("ip", "-n", self.node, "route", "add", "10.128.0.0/9", "via", "172.31.1.2")
        run("ip", "netns", "exec", self.node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._server = served(f"/run/netns/{self.end}")
        every = [*(rules(number, 2) for number in range(size)), with_sink(size)]
        model = {one.key: one for one in every}
        with netns.inside(f"/run/netns/{self.node}"):
            if self.mode in SCRIPTED:
                program, linear = SCRIPTED[self.mode]
                script = iptables_script(model, linear=linear)
                subprocess.run((program, "--noflush"), input=script, text=True, check=True)
                return
            self._backend = backend(self.mode)
            self._loop.run_until_complete(self._backend.resync(model))

    def remove(self) -> None:
        if self._backend is not None:
            with netns.inside(f"/run/netns/{self.node}"):
                self._loop.run_until_complete(self._backend.cleanup())
        self._loop.close()
        if self._server:
            os.killpg(self._server, signal.SIGKILL)
            os.waitpid(self._server, 0)
        for name in (self.client, self.node, self.end):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def served(namespace: str) -> int:
    """A process that accepts and hangs up on one port, and swallows what comes on another."""
    with netns.inside(namespace):
        door = socket.create_server(("0.0.0.0", PORT), backlog=1024)
        sink = socket.create_server(("0.0.0.0", SINK), backlog=64)
    process = os.fork()
    if process:
        door.close()
        sink.close()
        return process
    # Both end together, as one group.
    os.setsid()
    swallowing = os.fork()
    buffer = bytearray(1 << 20)
    while True:
        if swallowing:
            door.accept()[0].close()
            continue
        stream = sink.accept()[0]
        while stream.recv_into(buffer):
            pass
        stream.close()


def connects(targets: list[Target]) -> list[float]:
    """Microseconds of each connect, sorted."""
    times = []
    for _ in range(CONNECTS):
        sock = socket.socket()
        target = random.choice(targets)
        begun = time.perf_counter()
        sock.connect(target)
        times.append((time.perf_counter() - begun) * 1e6)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    return sorted(times)


@contextlib.contextmanager
def grouped(mode: str) -> Iterator[None]:
    """In eBPF mode inside the control group whose sockets are translated."""
    if mode != "ebpf":
        yield
        return
    root = next(root for root in ROOTS if (root / "cgroup.procs").exists())
    (root / GROUP / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (root / "cgroup.procs").write_text(str(os.getpid()))


def asked(lane: Lane, work: Callable[[], Any]) -> Any:
    with netns.inside(f"/run/netns/{lane.client}"), grouped(lane.mode):
        return work()


def stream(target: Target) -> float:
    """Gigabits a second, one connection, once what came before is done with: a process that moves
    bytes takes the thousand connects of before one after the other.
    """
    with socket.create_connection(target) as sock:
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
    data = memoryview(bytes(1 << 20))
    with socket.create_connection(target) as sock:
        sent, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < STREAM_S:
            sent += sock.send(data)
        return sent * 8 / (time.perf_counter() - begun) / 1e9


class Seen:
    """What was measured of one mode, round by round."""

    def __init__(self) -> None:
        self.p50: list[float] = []
        self.p99: list[float] = []
        self.ratio: list[float] = []
        self.throughput: list[float] = []

    def add(self, direct: list[float], through: list[float], rates: tuple[float, float]) -> None:
        self.p50.append(through[CONNECTS // 2])
        self.p99.append(through[CONNECTS * 99 // 100])
        self.ratio.append(through[CONNECTS // 2] / direct[CONNECTS // 2])
        self.throughput.append(rates[1] / rates[0])

    def cells(self) -> str:
        def half(values: list[float], form: str) -> str:
            return form.format(statistics.median(values))

        spread = f"{min(self.ratio):.2f}–{max(self.ratio):.2f}"
        return (
            f"{half(self.p50, '{:.0f}')} | {half(self.p99, '{:.0f}')} | "
            f"{half(self.ratio, '{:.2f}')} ({spread}) | {half(self.throughput, '{:.2f}')}"
        )


def measure(lane: Lane, size: int, seen: Seen) -> None:
    """Direct and through the rules, one after the other: what disturbs one disturbs both."""
    straight = [(endpoint(number, 0, 0), PORT) for number in range(size)]
    direct = asked(lane, lambda: connects(straight))
    through = asked(lane, lambda: connects([(vip(number), 80) for number in range(size)]))
    sink = (endpoint(0, 0, 0), SINK)
    rates = (
        asked(lane, lambda: stream(sink)),
        asked(lane, lambda: stream((vip(size), 80))),
    )
    seen.add(direct, through, rates)


def with_sink(size: int) -> Rules:
    """One more Service, whose endpoint swallows."""
    made = rules(size, 1)
    port = made.ports[0]
    target = port.cluster[0]._replace(ip=endpoint(0, 0, 0), port=SINK)
    return made._replace(ports=(port._replace(cluster=(target,)),))


def lanes_of(size: int) -> list[Lane]:
    there = [mode for mode, (program, _) in SCRIPTED.items() if shutil.which(program)]
    modes = (*MODES, *there)
    return [Lane(mode) for mode in modes if LEAST.get(mode, 0) <= size <= MOST.get(mode, size)]


def report(sizes: tuple[int, ...], count: int) -> None:
    print("\n| connect through the node | Services | p50 µs | p99 µs | p50 ÷ direct | "
          "throughput ÷ direct |\n|---|---|---|---|---|---|", flush=True)  # fmt: skip
    root = next(root for root in ROOTS if (root / "cgroup.procs").exists())
    (root / GROUP).mkdir(exist_ok=True)
    try:
        for size in sizes:
            lanes = lanes_of(size)
            seen = {lane.mode: Seen() for lane in lanes}
            with contextlib.ExitStack() as stack:
                for lane in lanes:
                    stack.callback(lane.remove)
                    print(f"connect: {lane.mode} {size}", file=sys.stderr, flush=True)
                    lane.build(size)
                for _ in range(max(count, 3)):
                    for lane in lanes:
                        measure(lane, size, seen[lane.mode])
            for mode, one in seen.items():
                print(f"| {mode} | {size:,} | {one.cells()} |", flush=True)
    finally:
        (root / GROUP).rmdir()


def main(argv: list[str]) -> None:
    report(tuple(int(word) for word in argv) or (1, 1000, 10000), 5)


if __name__ == "__main__":
    main(sys.argv[1:])
