"""The compiled loop answers by itself, and sends what the chain would send."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import inet_ntoa

import dns.message
import pytest

from sampan.dns import message
from sampan.dns.server.udp import UdpListener
from sampan.linux.real.datagrams_native import NativeDatagrams, library
from tests.dns.clusters import COREFILE, DEMO, service, slice_
from tests.dns.desk import Desk, desk
from tests.dns.test_fast_path import FIXED, KINDS, NAMES

pytestmark = pytest.mark.skipif(library() is None, reason="sampan-native is not installed")


class Wire:
    """A desk behind a socket of the compiled loop."""

    def __init__(self, server: Desk) -> None:
        self.server = server
        self.datagrams = NativeDatagrams("127.0.0.1", 0)
        self.listener = UdpListener(self.datagrams, server.answerer)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", self.datagrams.port))
        self.sock.setblocking(False)

    async def ask(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.sock, query)
        async with asyncio.timeout(5):
            return await loop.sock_recv(self.sock, 65535)

    def sent_by_itself(self) -> int:
        rows = self.server.answerer.memo.loop
        assert rows is not None
        return sum(hits for _, hits in rows.hits())


@asynccontextmanager
async def wired(text: str) -> AsyncIterator[Wire]:
    async with desk(text, *DEMO) as server:
        wire = Wire(server)
        wire.listener.start()
        try:
            yield wire
        finally:
            wire.sock.close()
            await wire.listener.close()


async def test_what_the_loop_sends_is_what_the_chain_would() -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    changes = [service("web", "10.96.1.1"), service("web", "10.96.1.5"),
               slice_("db", "10.1.0.11 db-0", "10.1.0.99"), service("org", "10.96.1.9"),
               service("nope", "10.96.1.6")]  # fmt: skip
    ends = ["org.demo.svc.cluster.local.", "com.svc.cluster.local.", "net.cluster.local."]
    asked = own = 0
    async with wired(FIXED) as wire:
        for _ in range(600):
            if chance.random() < 0.02:
                wire.server.put(chance.choice(changes))
            name = chance.choice(NAMES)
            if chance.random() < 0.4:
                name = f"{chance.choice('ab')}{chance.randrange(10)}.{chance.choice(ends)}"
            options = chance.choice([{}, {"use_edns": 0}, {"use_edns": 0, "want_dnssec": True}])
            query = dns.message.make_query(name, chance.choice(KINDS), **options).to_wire()
            got = await wire.ask(query)
            own += wire.sent_by_itself()
            assert got == await wire.server.wire(query), (name, seed)
            asked += 1
    assert own > 0.1 * asked  # most questions are asked once


async def test_the_loop_turns_addresses_and_counts_what_it_sent() -> None:
    first: Counter[str] = Counter()
    async with wired(COREFILE.replace("errors", "errors\n prometheus :0")) as wire:
        addresses = [f"10.3.0.{i}" for i in range(1, 11)]
        wire.server.put(slice_("db", *addresses, ports=("sql/TCP/5432",)))
        query = dns.message.make_query("db.demo.svc.cluster.local.", "A", payload=1232).to_wire()
        for _ in range(500):
            found = message.parse(await wire.ask(query)).answer
            first[inet_ntoa(found[0].rdata)] += 1
        wire.server.answerer.memo.tell()
        page = wire.server.world.counters.page()
    assert set(first) == set(addresses)
    assert max(first.values()) - min(first.values()) <= 2
    counted = [line for line in page.splitlines() if "dns_requests_total{" in line]
    assert sum(float(line.split()[-1]) for line in counted) == 500


async def test_who_looks_at_every_query_sees_those_of_the_loop_too() -> None:
    async with wired(FIXED) as wire:
        query = dns.message.make_query("web.demo.svc.cluster.local.", "A").to_wire()
        seen: list[bytes] = []
        await wire.ask(query)
        wire.server.answerer.tap = lambda asked, client: seen.append(asked)
        await wire.ask(query)
        wire.server.answerer.tap = None
        await wire.ask(query)
        assert seen == [query]
        assert wire.sent_by_itself() == 1


async def test_garbage_does_not_end_the_loop() -> None:
    chance = random.Random(5)
    async with wired(FIXED) as wire:
        good = dns.message.make_query("x.org.demo.svc.cluster.local.", "A").to_wire()
        await wire.ask(good)
        for size in [*range(40), 300, 1023, 1024, 1025, 4096, 5000]:
            wire.sock.send(chance.randbytes(size))
            damaged = bytearray(good)
            damaged[12 + chance.randrange(len(good) - 12)] = chance.randrange(256)
            wire.sock.send(bytes(damaged))
            wire.sock.send(good[: size % len(good)])
        await asyncio.sleep(0)
        wanted = b"\x77\x77" + good[2:]
        await asyncio.get_running_loop().sock_sendall(wire.sock, wanted)
        async with asyncio.timeout(5):
            while (await asyncio.get_running_loop().sock_recv(wire.sock, 65535))[:2] != b"\x77\x77":
                pass
