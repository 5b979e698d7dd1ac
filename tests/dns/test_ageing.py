"""Replies of *cache* that the fast path repeats: their TTLs go down as the chain's do, and what the
cache lets go of is let go of there too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.dns.fastpath import Memo
from sampan.dns.plugin import Ages, Validity
from sampan.dns.rows import with_ttl
from sampan.dns.server.udp import UdpListener
from sampan.linux.real.datagrams_native import NativeDatagrams, library
from sampan.std.clock import SystemClock
from tests.dns.desk import Desk, desk

ANSWERS = {
    "www.example.net.": [("www.example.net.", 40, "A", "192.0.2.1", "192.0.2.2", "192.0.2.3")],
    "alias.example.net.": [
        ("alias.example.net.", 30, "CNAME", "www.example.net."),
        ("www.example.net.", 300, "A", "192.0.2.1"),
    ],
    "large.example.net.": [
        ("large.example.net.", 60, "A", *(f"192.0.2.{i}" for i in range(1, 61)))
    ],
}
SOA = ("example.net.", 20, "SOA", "ns.example.net. admin.example.net. 1 7200 900 86400 20")


class Later(SystemClock):
    """The time as it is and some seconds more."""

    more_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.more_s


class Origin(asyncio.DatagramProtocol):
    """The server that is forwarded to; `asked` are the names that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        reply = dns.message.make_response(query, recursion_available=True)
        rows = ANSWERS.get(name.lower(), [])
        reply.answer = [_rrset(row) for row in rows]
        if not rows:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority = [_rrset(SOA)]
        self.transport.sendto(reply.to_wire(), addr)


def _rrset(row: tuple[str | int, ...]) -> dns.rrset.RRset:
    name, ttl, kind, *values = row
    return dns.rrset.from_text(str(name), int(ttl), "IN", str(kind), *map(str, values))


@asynccontextmanager
async def forwarding(more: str = "") -> AsyncIterator[tuple[Desk, Later, Origin]]:
    loop, clock = asyncio.get_running_loop(), Later()
    transport, origin = await loop.create_datagram_endpoint(Origin, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    text = f". {{\n prometheus :0\n {more}\n forward . 127.0.0.1:{port}\n}}\n"
    try:
        async with desk(text, clock=clock) as server:
            server.world.changed = server._changed
            yield server, clock, origin
    finally:
        transport.close()


def query(name: str, size: int = 1232) -> bytes:
    return dns.message.make_query(name, "A", payload=size, id=7).to_wire()


async def by_the_chain(server: Desk, wire: bytes) -> bytes:
    """What the chain answers where nothing is known."""
    answerer = server.answerer
    kept, answerer.memo = answerer.memo, Memo()
    try:
        return await server.wire(wire)
    finally:
        answerer.memo = kept


NAMES = [*ANSWERS, "nowhere.example.net."]
PLUGINS = ["cache 100", "cache 100\n rewrite ttl regex .* 17-25", "errors\n cache 25\n minimal"]


@pytest.mark.parametrize("plugins", PLUGINS)
@pytest.mark.parametrize("name", NAMES)
async def test_at_every_time_it_is_what_the_chain_says(plugins: str, name: str) -> None:
    async with forwarding(plugins) as (server, clock, _):
        wire, taken = query(name), 0
        await server.wire(wire)
        for _ in range(40):
            await server.wire(wire)
            clock.more_s += 0.37
            server.answerer.now = clock.monotonic()
            quick, slow = server.answerer.quick(wire), await by_the_chain(server, wire)
            if quick is not None:
                taken += 1
                quick_ttls, slow_ttls = (_ttls(part) for part in (quick, slow))
                assert all(0 <= a - b <= 1 for a, b in zip(quick_ttls, slow_ttls, strict=True))
                assert with_ttl(quick[2:], 1) == with_ttl(slow[2:], 1)
        assert taken > 10


def _ttls(wire: bytes) -> list[int]:
    message = dns.message.from_wire(wire)
    return [rrset.ttl for part in (message.answer, message.authority) for rrset in part]


async def test_a_hit_needs_the_chain_once_and_every_hit_is_counted() -> None:
    async with forwarding("cache 100") as (server, clock, origin):
        wire = query("www.example.net.")
        await server.wire(wire)
        await server.wire(wire)
        for _ in range(30):
            clock.more_s += 1
            server.answerer.now = clock.monotonic()
            reply = server.answerer.quick(wire)
            assert reply is not None
        assert _ttls(reply)[0] in (9, 10)
        clock.more_s += 10
        server.answerer.now = clock.monotonic()
        assert server.answerer.quick(wire) is None
        server.answerer.memo.tell()
        page = server.world.counters.page()
        assert origin.asked == ["www.example.net."]
    lines = [line for line in page.splitlines() if line.startswith("coredns_cache_")]
    counted = {line.partition("{")[0]: float(line.split()[-1]) for line in lines}
    assert counted["coredns_cache_hits_total"] == 31
    assert counted["coredns_cache_requests_total"] == 32
    assert counted["coredns_cache_misses_total"] == 1


async def test_what_the_cache_lets_go_of_is_asked_for_again() -> None:
    small = "cache {\n  success 1\n }"
    async with forwarding(small) as (server, _, origin):
        for name in ["www.example.net.", "www.example.net.", "alias.example.net."]:
            await server.wire(query(name))
        assert server.answerer.quick(query("www.example.net.")) is None
        await server.wire(query("www.example.net."))
        assert origin.asked == ["www.example.net.", "alias.example.net.", "www.example.net."]


@pytest.mark.skipif(library() is None, reason="sampan-native is not installed")
async def test_the_compiled_loop_ages_them_by_itself() -> None:
    async with forwarding("cache 100\n loadbalance") as (server, clock, _):
        datagrams = NativeDatagrams("127.0.0.1", 0)
        listener = UdpListener(datagrams, server.answerer)
        listener.start()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", datagrams.port))
            sock.setblocking(False)
            for name in NAMES:
                wire, own = query(name, 4096), 0
                for second in range(19):
                    for _ in range(4):
                        await loop.sock_sendall(sock, wire)
                        got = await asyncio.wait_for(loop.sock_recv(sock, 65535), 5)
                        slow = await by_the_chain(server, wire)
                        # More time may pass in a test than in the clock's steps, never less.
                        assert all(
                            0 <= a - b <= 1 for a, b in zip(_ttls(got), _ttls(slow), strict=True)
                        ), (name, second)
                        assert len(got) == len(slow)
                    own += sum(hits for _, hits in datagrams.rows.hits())
                    clock.more_s += 1
                assert own > 30
        await listener.close()


@given(st.binary(max_size=60), st.integers(0, 3))
def test_an_aged_reply_is_the_same_reply(tail: bytes, turn: int) -> None:
    """Rows with rotations age each of them."""
    made = dns.message.make_response(dns.message.make_query("x.example.", "A", use_edns=0))
    made.answer = [dns.rrset.from_text("x.example.", 9, "IN", "TXT", '"' + tail.hex() + '"')]
    memo, wire = Memo(), made.to_wire()
    validity = Validity(until=9.0, ages=Ages(0.0, 9, 1.0))
    memo.keep(b"12query", wire, validity, (), (4, lambda _: wire[2:]))
    for second in range(9):
        for _ in range(turn + 1):
            found = memo.find(b"12query", second + 0.5)
            assert found is not None
            read = dns.message.from_wire(found)
            assert read.answer[0].ttl == 9 - second
            assert (read.edns, read.ednsflags, read.payload) == (
                made.edns, made.ednsflags, made.payload
            )  # fmt: skip
