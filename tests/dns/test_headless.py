"""Large headless services under churn: never a half set, never a false NXDOMAIN, and every address
first as often as any other.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from sampan.dns.plugin import Client
from tests.dns.clusters import COREFILE, namespace, service, slice_
from tests.dns.desk import desk
from tests.dns.test_outage import Stage, stage, until
from tests.dns.test_processes import ask

NAME = "db.demo.svc.cluster.local."
PER_SLICE = 100
TCP = Client(proto="tcp")


def addresses(count: int, net: int) -> list[str]:
    return [f"10.{net}.{number // 250}.{number % 250 + 1}" for number in range(count)]


def named(number: int, ips: list[str]) -> dict[str, Any]:
    made = slice_("db", *ips)
    made["metadata"]["name"] = f"db-{number}"
    return made


class Sets:
    """Slices of one service as a controller keeps them: full ones, and endpoints that move between
    them. `steps` yields the slices that change, in an order that never leaves a stable one out.
    """

    def __init__(self, chance: random.Random, stable: list[str], loose: list[str]) -> None:
        self.chance = chance
        self.stable, self.loose = stable, loose
        self.slices = [
            stable[start : start + PER_SLICE] for start in range(0, len(stable), PER_SLICE)
        ]
        self.slices.append([])

    def every(self) -> list[dict[str, Any]]:
        return [named(number, ips) for number, ips in enumerate(self.slices)]

    def now(self) -> set[str]:
        return {ip for ips in self.slices for ip in ips}

    def steps(self) -> Iterator[list[int]]:
        """One change: the numbers of the slices to write, one after another."""
        while True:
            source, target = self.chance.sample(range(len(self.slices)), 2)
            kind = self.chance.choice(("come", "go", "move"))
            if kind == "come":
                ip = self.chance.choice(self.loose)
                if ip not in self.now():
                    self.slices[target] = [*self.slices[target], ip]
                    yield [target]
            elif kind == "go":
                self.slices[source] = [ip for ip in self.slices[source] if ip in self.stable]
                yield [source]
            elif self.slices[source] and len(self.slices[target]) < PER_SLICE + 20:
                ip = self.chance.choice(self.slices[source])
                # In both for a moment, as the controller does it: added first, then removed.
                self.slices[target] = [*self.slices[target], ip]
                yield [target]
                self.slices[source] = [one for one in self.slices[source] if one != ip]
                yield [source]


def first(message: dns.message.Message) -> str:
    return str(message.answer[0][0])


def found(message: dns.message.Message) -> list[str]:
    return [str(item) for rrset in message.answer for item in rrset]


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_answer_is_the_whole_set_of_its_moment(seed: int) -> None:
    sets = Sets(random.Random(seed), addresses(1000, 1), addresses(60, 2))
    cluster = (namespace("demo"), service("db"), *sets.every())
    async with desk(COREFILE, *cluster) as server:
        steps = sets.steps()
        for turn in range(20):
            numbers = next(steps)
            server.put(*(named(number, sets.slices[number]) for number in numbers))
            whole = await server.ask(NAME, client=TCP)
            assert sorted(found(whole)) == sorted(sets.now()), f"seed {seed} turn {turn}"
            part = await server.ask(NAME)
            assert part.flags & dns.flags.TC
            assert set(found(part)) <= sets.now()
            assert len(found(part)) > 20


@pytest.mark.e2e
def test_a_thousand_endpoints_under_churn_at_a_real_server(tmp_path: Path) -> None:
    """Through API server, watch and sockets: the stable ones are in every answer."""
    sets = Sets(random.Random(9), addresses(1000, 1), addresses(60, 2))
    path = "/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices"
    with stage(tmp_path) as world:
        world.start_api()
        demo, db = namespace("demo"), service("db")
        for obj in (demo, db):
            del obj["metadata"]["resourceVersion"]
        db["spec"] = {"clusterIP": "None", "ports": [{"port": 80}]}
        world.put(demo, "/api/v1/namespaces")
        world.put(db, "/api/v1/namespaces/demo/services")
        for obj in sets.every():
            world.send("POST", path, discovery(obj))
        world.start_dns()
        stop, seen, bad = threading.Event(), [0], list[str]()
        stable = frozenset(sets.stable)

        def watch() -> None:
            while not stop.is_set():
                answer = ask(world.port, NAME, tcp=True)
                ips = found(answer)
                seen[0] += 1
                if answer.rcode() or not stable <= set(ips) or len(ips) != len(set(ips)):
                    bad.append(f"{dns.rcode.to_text(answer.rcode())} {len(ips)}")

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            steps = sets.steps()
            for _ in range(100):
                for number in next(steps):
                    write(world, path, number, sets.slices[number])
        finally:
            stop.set()
            watcher.join(20)
        assert bad == []
        assert seen[0] > 20
        until(lambda: set(found(ask(world.port, NAME, tcp=True))) == sets.now())


def discovery(obj: dict[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    return {"apiVersion": "discovery.k8s.io/v1", **obj, "metadata": meta}


def write(world: Stage, path: str, number: int, ips: list[str]) -> None:
    obj = discovery(named(number, ips))
    world.send("PUT", f"{path}/{obj['metadata']['name']}", obj)


def chi_square(counts: Counter[str], categories: int) -> float:
    expected = counts.total() / categories
    return sum((counts[name] - expected) ** 2 / expected for name in list(counts)) + expected * (
        categories - len(counts)
    )


CRITICAL_14 = 36.1
"""Chi-square with 14 degrees of freedom, exceeded by chance once in a thousand."""


async def test_every_address_comes_first_equally_often() -> None:
    """15 pods, as in the complaint where one had twice the traffic: through the chain."""
    ips = addresses(15, 3)
    async with desk(COREFILE, namespace("demo"), service("db"), slice_("db", *ips)) as server:
        for client in (Client(), TCP):
            counts = Counter([first(await server.ask(NAME, client=client)) for _ in range(900)])
            assert chi_square(counts, 15) < CRITICAL_14, counts


@pytest.mark.e2e
def test_every_address_comes_first_equally_often_at_a_real_server(tmp_path: Path) -> None:
    """Out of the fast path, with clients that spell, and sets that change, now and then."""
    ips = addresses(15, 3)
    path = "/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices"
    with stage(tmp_path) as world:
        corefile = tmp_path / "Corefile"
        corefile.write_text(
            corefile.read_text().replace("    errors\n", "    errors\n    loadbalance\n")
        )
        world.start_api()
        demo, db = namespace("demo"), service("db")
        for obj in (demo, db):
            del obj["metadata"]["resourceVersion"]
        db["spec"] = {"clusterIP": "None", "ports": [{"port": 80}]}
        world.put(demo, "/api/v1/namespaces")
        world.put(db, "/api/v1/namespaces/demo/services")
        world.send("POST", path, discovery(named(0, ips)))
        world.start_dns()
        counts = Counter[str]()
        chance = random.Random(4)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", world.port))
            sock.settimeout(5)
            for turn in range(3000):
                label = "".join(chance.choice((c, c.upper())) for c in "db") if turn % 3 else "db"
                query = dns.message.make_query(NAME.replace("db", label, 1), "A")
                sock.send(query.to_wire())
                reply = dns.message.from_wire(sock.recv(4096))
                assert len(found(reply)) == 15
                counts[first(reply)] += 1
                if turn % 300 == 299:
                    # The set is another one for a moment, and then the same again.
                    write(world, path, 0, [*ips, "10.4.0.1"])
                    write(world, path, 0, ips)
                    until(lambda: len(found(ask(world.port, NAME, tcp=True))) == 15)
                    time.sleep(0.05)
        counts.pop("10.4.0.1", None)
        assert chi_square(counts, 15) < CRITICAL_14, counts
