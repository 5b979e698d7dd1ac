"""Processor time of the chain of plugins alone: queries as bytes in, replies as bytes out, no
socket. Every name is asked once, so that no memory of answers helps.

`python -m benchmarks.dns.chain [--only KIND] [--profile]` prints the processor time of a query
for each Corefile and kind of name, in calls of an empty function: others who use the machine slow
both down alike.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import logging
import marshal
import pstats
import random
import statistics
import sys
import time
import timeit
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.dns.load import _query
from benchmarks.dns.servers import CHAIN, KUBERNETES
from sampan.cluster.parts.dns import THRESHOLDS
from sampan.dns import corefile
from sampan.dns.chain import sites
from sampan.dns.kube import model
from sampan.dns.plugins import PLUGINS
from sampan.dns.server.answer import Answerer
from sampan.dns.server.instance import Instance
from sampan.dns.server.udp import UdpListener
from sampan.dns.setup import World
from sampan.linux.base.datagrams import AtHand, Fast, Peer, Slow

COUNT = 4000
ROUNDS = 5
A, PTR, AAAA, SRV = 1, 12, 28, 33
COREFILES = {"plain": "", "rewrite, template": CHAIN, "log": "log", "cache": "cache 30"}


def _kubernetes(more: str, pods: str) -> str:
    text = KUBERNETES.format(port=53, ready=1, metrics=0, more=more)
    return text.replace("pods insecure", f"pods {pods}")


class Silent:
    """Takes lines of the log and pages, and a watching half that sends nothing by itself."""

    debugging = False

    def __init__(self) -> None:
        self.receive: Callable[[bytes], None] = lambda batch: None

    def plain(self, text: str) -> None:
        logging.getLogger("sampan.bench").debug(text)

    info = warning = error = debug = query = plain

    async def serve(self, address: str, handler: Any, tls: Any = None) -> Any:
        return self.close

    def start(
        self, name: str, work: Callable[..., Awaitable[None]], receive: Callable[[bytes], None]
    ) -> Any:
        self.receive = receive
        receive(marshal.dumps(cluster()))
        return self.close

    async def close(self) -> None:
        return None


def cluster() -> list[Any]:
    """Namespaces, Services (every second one headless), slices and pods, as the watch has them."""
    rows: list[Any] = [(model.NAMESPACE, ("bench",))]
    ports = (("http", "tcp", 80),)
    for i in range(COUNT):
        ip = f"10.96.{i >> 8}.{i & 255}"
        rows.append((model.SERVICE, ("bench", f"svc-{i}", "ClusterIP", (ip,), ports)))
        rows.append((model.SERVICE, ("bench", f"set-{i}", "ClusterIP", ("None",), ports)))
        endpoints = tuple(
            (f"10.{128 + n}.{i >> 8}.{i & 255}", f"pod-{n}", "", "") for n in range(3)
        )
        rows.append((model.SLICE, ("bench", f"set-{i}-x", f"set-{i}", "", endpoints, ports)))
        rows.append((model.POD, ("bench", f"pod-{i}", f"10.7.{i >> 8}.{i & 255}", ())))
    return [*rows, (model.SYNCED,)]


def _names() -> dict[str, tuple[int, Callable[[int], str]]]:
    zone = "bench.svc.cluster.local."
    return {
        "A": (A, lambda i: f"svc-{i}.{zone}"),
        "AAAA, none": (AAAA, lambda i: f"svc-{i}.{zone}"),
        "SRV": (SRV, lambda i: f"_http._tcp.svc-{i}.{zone}"),
        "headless A": (A, lambda i: f"set-{i}.{zone}"),
        "headless SRV": (SRV, lambda i: f"_http._tcp.set-{i}.{zone}"),
        "endpoint A": (A, lambda i: f"pod-1.set-{i}.{zone}"),
        "PTR": (PTR, lambda i: f"{i & 255}.{i >> 8}.96.10.in-addr.arpa."),
        "pod": (A, lambda i: f"10-7-{i >> 8}-{i & 255}.bench.pod.cluster.local."),
        "denied": (A, lambda i: f"x.none-{i}.bench.svc.cluster.local."),
    }


class Discarding:
    """Datagrams that come from a list and whose replies go nowhere."""

    rows = None
    port = 53

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.sent = 0

    def fileno(self) -> int:
        return -1

    def drain(self, fast: Fast, slow: Slow, now: float, at_hand: AtHand) -> int:
        batch, self.waiting = self.waiting[:64], self.waiting[64:]
        for wire in batch:
            reply = fast(wire) or slow(wire, Peer("127.0.0.1", 4000, "127.0.0.1", 53))
            self.sent += reply is not None
        return len(batch)

    def send(self, wire: bytes, peer: Peer) -> None:
        self.sent += 1

    def close(self) -> None:
        return None


async def measured(text: str, queries: Sequence[bytes], profile: cProfile.Profile | None) -> float:
    """The median of some rounds' batches, in empty calls; each round begins anew."""
    silent = Silent()
    world = World(silent, silent, silent, chance=random.Random(1))
    blocks = corefile.parse(text, "Corefile", corefile.Sources(PLUGINS, {}, silent.plain))
    instance = Instance(sites(blocks, world, PLUGINS))
    await instance.start()
    found = []
    for _ in range(ROUNDS):
        (routes,) = instance.routes().values()
        listener = Discarding()
        udp = UdpListener(listener, Answerer(routes, world.clock, random.Random(1), _raise))
        listener.waiting = list(queries)
        if profile is not None:
            profile.enable()
        while listener.waiting:
            call_s = empty_call()
            size, began = len(listener.waiting), time.process_time()
            udp._readable()
            took = time.process_time() - began
            found.append(took / (size - len(listener.waiting)) / call_s)
        if profile is not None:
            profile.disable()
        assert listener.sent == len(queries)
    await instance.stop()
    return statistics.median(found)


def empty_call() -> float:
    """How long it takes at this moment, in seconds of the processor."""
    return timeit.timeit("f()", "def f(): pass", time.process_time, 3000) / 3000


def _raise(bad: Exception) -> None:
    raise bad


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks dns chain")
    parser.add_argument("--only", choices=list(_names()), help="one kind of name")
    parser.add_argument("--corefile", choices=list(COREFILES), help="one Corefile")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    args = parser.parse_args(argv)
    gc.set_threshold(*THRESHOLDS)  # as the server has them
    chosen = [name for name in COREFILES if args.corefile in (None, name)]
    call_s = min(empty_call() for _ in range(100))
    print(f"µs per query, where an empty call takes {call_s * 1e9:.0f} ns as here at best:\n")
    print(f"| name | {' | '.join(chosen)} |\n|---{'|---' * len(chosen)}|")
    for kind, (number, name) in _names().items():
        if args.only not in (None, kind):
            continue
        queries = [_query(i, name(i), number) for i in range(COUNT)]
        profile = cProfile.Profile() if args.profile else None
        took = []
        for corefile_name in chosen:
            text = _kubernetes(COREFILES[corefile_name], "verified")
            took.append(asyncio.run(measured(text, queries, profile)))
        print(
            f"| {kind} | {' | '.join(f'{each * call_s * 1e6:.1f}' for each in took)} |", flush=True
        )
        if profile is not None:
            pstats.Stats(profile).sort_stats("cumtime").print_stats(45)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
