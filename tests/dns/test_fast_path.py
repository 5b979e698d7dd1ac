"""The fast path sends what the chain would send, byte for byte, whatever changes in between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from socket import inet_ntoa
from typing import Any

import dns.message
import dns.rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dns import message
from sampan.dns.plugin import Client
from tests.dns.clusters import COREFILE, DEMO, service, slice_
from tests.dns.desk import Desk, desk

EXAMPLES = int(os.environ.get("SAMPAN_EXAMPLES", "15"))
NAMES = [
    "web.demo.svc.cluster.local.", "WEB.demo.svc.cluster.LOCAL.", "dual.demo.svc.cluster.local.",
    "db.demo.svc.cluster.local.", "db-0.db.demo.svc.cluster.local.", "out.demo.svc.cluster.local.",
    "in.demo.svc.cluster.local.", "nope.demo.svc.cluster.local.", "demo.svc.cluster.local.",
    "_http._tcp.web.demo.svc.cluster.local.", "1.1.96.10.in-addr.arpa.", "cluster.local.",
    "www.example.org.", "www.example.org.demo.svc.cluster.local.",
    "10-1-7-7.demo.pod.cluster.local.", "2.1.96.10.in-addr.arpa.", "9.1.96.10.in-addr.arpa.",
    "11.0.1.10.in-addr.arpa.", "02.1.96.10.in-addr.arpa.", "5.1.96.10.IN-addr.arpa.",
]  # fmt: skip
KINDS = ["A", "AAAA", "SRV", "PTR", "TXT", "NS", "SOA", "CNAME", "ANY"]
# With one address per answer there is nothing to rotate: replies can be compared byte for byte.
FIXED = COREFILE.replace("    loadbalance\n", "")

PLUGINS = [
    "errors", "prometheus :0", "cache 30", "cache 30 cluster.local", "minimal", "any", "local",
    "bufsize 700", "nsid me", "header {\n response set ra\n}", "loop", "chaos v", "hosts {\n"
    " 192.0.2.9 x.no.demo.svc.cluster.local\n fallthrough\n}", "cancel 5s", "log",
    "rewrite name a.no.demo.svc.cluster.local web.demo.svc.cluster.local",
    "rewrite name u.demo.svc.cluster.local web.demo.svc.cluster.local",
    "rewrite name regex ^v(.*)$ web{1}",
    "template IN A t.demo.svc.cluster.local {\n rcode REFUSED\n}",
    "template IN A no.demo.svc.cluster.local {\n match ^t\n rcode REFUSED\n fallthrough\n}",
]  # fmt: skip
"""Lines before *kubernetes*: those that treat some name below others in a way of its own too."""
KUBERNETES = """kubernetes cluster.local in-addr.arpa {
    endpoint http://127.0.0.1:1
    pods insecure
}"""
OTHER_BLOCK = "deep.no.demo.svc.cluster.local {\n whoami\n}\n"
labels = st.sampled_from(
    ["a", "x", "t", "u", "v", "y", "nope", "NOPE", "web", "deep", "A", "_http", "_tcp", "1-2-3-4",
     "b" * 63, "*", "dual", "six", "DB", "bare", "out", "10-1-7-7", "10-1-7-8", "fd00--7"]
)  # fmt: skip
ends = st.sampled_from(
    ["no.demo.svc.cluster.local.", "web.demo.svc.cluster.local.", "no.svc.cluster.local.",
     "Com.demo.svc.CLUSTER.local.", "org.cluster.local.", "dns.cluster.local.", "cluster.local.",
     "demo.pod.cluster.local.", "demo.svc.cluster.local.", "demo.svc.cluster.local.",
     "db.demo.svc.cluster.local."]
)  # fmt: skip
deeper = st.builds(lambda some, end: ".".join([*some, end]), st.lists(labels, max_size=3), ends)
questions = st.tuples(
    st.one_of(st.sampled_from(NAMES), deeper),
    st.sampled_from(KINDS),
    st.sampled_from([{}, {"use_edns": 0}, {"use_edns": 0, "want_dnssec": True, "payload": 4096}]),
)
changes = st.sampled_from(
    [
        service("web", "10.96.1.1"),
        service("web", "10.96.1.5"),
        service("nope", "10.96.1.6"),
        slice_("db", "10.1.0.11 db-0", "10.1.0.99"),
        slice_("db", "10.1.0.11 db-0"),
        service("dual", "10.96.1.2"),
    ]
)
steps = st.lists(st.one_of(questions, changes), min_size=5, max_size=40)


async def quick_and_slow(
    server: Desk, wire: bytes, seen: Callable[[bytes], Any] = bytes
) -> tuple[bytes | None, bytes]:
    """What the fast path has at hand, and what a chain that knows nothing of it answers; `seen` is
    what of replies must be equal.
    """
    answerer = server.answerer
    answerer.now = server.world.clock.now()
    quick, again = answerer.quick(wire), None
    if quick is None:
        # Where somebody hears of each query, what is at hand is found here.
        again = await server.wire(wire)
        answerer.now = server.world.clock.now()
        quick = answerer.quick(wire)
    routes, memo = answerer.routes, answerer.memo
    for table in (memo.at_hand.firm, memo.at_hand.dated):
        if wire[2:] in table:
            assert wire[:2] + table[wire[2:]].first == quick
    answerer.memo = type(memo)()
    slow = await server.wire(wire)
    answerer.memo = memo
    assert routes is answerer.routes
    assert again is None or seen(again) == seen(slow)
    return quick, slow


async def _same(script: list[Any], corefile: str = FIXED) -> int:
    hits = 0
    async with desk(corefile, *DEMO) as server:
        for number, step in enumerate(script):
            if isinstance(step, dict):
                server.put(step)
                continue
            name, kind, options = step
            query = dns.message.make_query(name, kind, id=number, **options)
            quick, slow = await quick_and_slow(server, query.to_wire())
            if quick is not None:
                hits += 1
                assert quick == slow
    return hits


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps)
def test_the_fast_path_is_byte_equal_to_the_chain_through_every_change(script: list[Any]) -> None:
    asyncio.run(_same(script))


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(steps, st.lists(st.sampled_from(PLUGINS), unique=True, max_size=5), st.booleans())
def test_whatever_plugins_stand_in_between_the_fast_path_is_byte_equal(
    script: list[Any], lines: list[str], other: bool
) -> None:
    # One directive of a name in a block.
    chosen = {line.split()[0]: line for line in lines}.values()
    corefile = "\n".join([". {", *chosen, KUBERNETES, "}", OTHER_BLOCK * other])
    asyncio.run(_same(script, corefile))


async def test_a_search_for_names_never_asked_before_finds_its_denial() -> None:
    async with desk(FIXED, *DEMO) as server:
        for number in range(100):
            name = f"host-{number:03d}.example.com.demo.svc.cluster.local."
            wire = dns.message.make_query(name, "A").to_wire()
            quick = server.answerer.quick(wire)
            assert (quick is None) == (number == 0)
            slow = await server.wire(wire)
            assert quick in (None, slow)


def counted(server: Desk) -> float:
    """All requests, as the page of the counters has them."""
    lines = server.world.counters.page().splitlines()
    return sum(float(line.split()[-1]) for line in lines if "dns_requests_total{" in line)


async def test_a_search_that_comes_again_is_at_hand_until_its_denial_goes() -> None:
    counting = FIXED.replace("errors", "errors\n prometheus :0")
    async with desk(counting, *DEMO) as server:
        memo = server.answerer.memo
        for number in range(50):
            name = f"host-{number}.example.com.demo.svc.cluster.local."
            wire = dns.message.make_query(name, "A").to_wire()
            for _ in range(3):
                server.answerer.quick(wire) or await server.wire(wire)
            memo.at_hand.dated[wire[2:]].hits += 4  # as a receive loop does
            _, slow = await quick_and_slow(server, wire)
            assert memo.at_hand.dated[wire[2:]].first == slow[2:]
        assert len(memo.at_hand.twins) == 50
        memo.tell()
        assert counted(server) == 50 * (3 + 4 + 2)
        server.put(service("com", "10.96.1.77"))
        assert memo.at_hand.twins == {}
        assert wire[2:] not in memo.at_hand.dated
        quick, slow = await quick_and_slow(server, wire)
        assert quick in (None, slow)


async def test_a_name_never_asked_before_is_denied_without_the_chain_until_it_is_there() -> None:
    async with desk(FIXED, *DEMO) as server:
        memo = server.answerer.memo
        for number in range(100, 200):
            wire = dns.message.make_query(f"n{number}.demo.svc.cluster.local.", "A").to_wire()
            quick = server.answerer.quick(wire)
            assert (quick is None) == (number == 100)
            kept, memo = memo, type(memo)()
            server.answerer.memo = memo
            slow = await server.wire(wire)
            server.answerer.memo = memo = kept
            assert quick in (None, slow)
            if number == 100:
                await server.wire(wire)
        assert len(memo.rows) == 1  # names that nobody asks for again take no room
        last = dns.message.make_query("n199.demo.svc.cluster.local.", "A").to_wire()
        assert server.answerer.quick(last) is not None
        assert len(memo.rows) == 2
        server.put(service("n199", "10.96.1.77"), service("n150", "10.96.1.78"))
        assert server.answerer.quick(last) is None
        other = dns.message.make_query("N150.demo.svc.cluster.local.", "A").to_wire()
        assert server.answerer.quick(other) is None
        assert "10.96.1.77" in str(dns.message.from_wire(await server.wire(last)).answer)


async def test_a_service_never_asked_before_is_answered_as_another_one_was() -> None:
    many = [service(f"s{number}", f"10.96.2.{number}") for number in range(100, 200)]
    async with desk(COREFILE.replace("errors", "errors\n prometheus :0"), *DEMO, *many) as server:
        memo = server.answerer.memo
        for number in range(100, 200):
            name = f"S{number}.demo.svc.cluster.local."
            for kind in ("A", "AAAA"):
                wire = dns.message.make_query(name, kind, id=number).to_wire()
                quick, slow = await quick_and_slow(server, wire)
                assert quick == slow
            back = dns.message.make_query(f"{number}.2.96.10.in-addr.arpa.", "PTR").to_wire()
            quick, slow = await quick_and_slow(server, back)
            assert quick == slow
        assert len(memo.rows) == 3  # names that nobody asks for again take no room
        memo.tell()
        assert counted(server) == 3 * 2 * 100 + 3
        back = dns.message.make_query("150.2.96.10.in-addr.arpa.", "PTR").to_wire()
        gone = dns.message.make_query("s150.demo.svc.cluster.local.", "A").to_wire()
        server.drop(service("s150", "10.96.2.150"))
        assert dns.message.from_wire(await server.wire(gone)).rcode() == dns.rcode.NXDOMAIN
        assert server.answerer.quick(gone) in (None, await server.wire(gone))
        assert server.answerer.quick(back) is None
        server.put(service("s151", "None"), slice_("s151", "10.1.0.51"))
        moved = dns.message.make_query("s151.demo.svc.cluster.local.", "A").to_wire()
        assert server.answerer.quick(moved) in (None, await server.wire(moved))
        assert "10.1.0.51" in str(dns.message.from_wire(await server.wire(moved)).answer)


async def test_denials_below_a_name_end_when_the_name_begins() -> None:
    async with desk(FIXED, *DEMO) as server:
        query = dns.message.make_query("a.b.later.demo.svc.cluster.local.", "A").to_wire()
        await server.wire(query)
        endpoint = dns.message.make_query("h.later.demo.svc.cluster.local.", "A")
        server.put(service("later", "None"), slice_("later", "10.1.0.77 h"))
        assert server.answerer.quick(endpoint.to_wire()) is None
        reply = dns.message.from_wire(await server.wire(endpoint.to_wire()))
        assert "10.1.0.77" in str(reply.answer)


async def test_the_log_hears_of_every_query_also_of_those_whose_answer_is_at_hand() -> None:
    corefile = FIXED.replace("errors", "errors\n log . {remote}:{port}:{>id}:{rcode}")
    async with desk(corefile, *DEMO) as server:
        wire = dns.message.make_query("cluster.local.", "A", id=7).to_wire()
        first = await server.wire(wire, Client("192.0.2.1", 1001))
        again = await server.wire(b"\0\x09" + wire[2:], Client("192.0.2.2", 1002))
        assert again == b"\0\x09" + first[2:]
        assert server.log.lines[-2:] == [
            "[INFO] 192.0.2.1:1001:7:NOERROR", "[INFO] 192.0.2.2:1002:9:NOERROR"
        ]  # fmt: skip
        assert len(server.answerer.memo.heard) == 1


async def test_the_log_hears_of_names_that_are_answered_as_another_one_was() -> None:
    line = "{local} {remote}:{port} {>id} {/kubernetes/service} {type} {class} {name} {proto}"
    more = "{size} {>do} {>bufsize} {rcode} {>rflags} {rsize}"
    corefile = FIXED.replace("errors", f'errors\n log . "{line} {more}"')
    many = [service(f"s{number}", f"10.96.2.{number}") for number in range(100, 120)]
    async with desk(corefile, *DEMO, *many) as server:
        memo = server.answerer.memo
        for number in range(90, 130):
            for kind in ("A", "AAAA", "TXT"):
                name = f"S{number}.Demo.svc.cluster.local."
                wire = dns.message.make_query(name, kind, id=number, use_edns=0).to_wire()
                client = Client("192.0.2.1", number)
                first = await server.wire(wire, client)
                said = server.log.lines[-1]
                server.answerer.memo = type(memo)()
                assert await server.wire(wire, client) == first
                server.answerer.memo = memo
                assert server.log.lines[-1] == said
                assert name.lower() in said
        assert len(memo.heard) < 40  # of 120: the others needed no chain
        assert len(server.log.lines) == 240


async def test_most_answers_about_the_cluster_are_taken_by_the_fast_path() -> None:
    script = [(name, kind, {}) for name in NAMES[:10] for kind in KINDS[:4]]
    hits = await _same(script)
    assert hits > 0.9 * len(script)


async def test_addresses_take_turns_in_front() -> None:
    first: dict[str, int] = {}
    async with desk(COREFILE, *DEMO) as server:
        addresses = [f"10.3.0.{i}" for i in range(1, 11)]
        server.put(slice_("db", *addresses, ports=("sql/TCP/5432",)))
        query = dns.message.make_query("db.demo.svc.cluster.local.", "A", payload=1232)
        for _ in range(1000):
            wire = query.to_wire()
            quick = server.answerer.quick(wire) or await server.wire(wire)
            found = [inet_ntoa(record.rdata) for record in message.parse(quick).answer]
            assert set(found) == set(addresses)
            front = found[0]
            first[front] = first.get(front, 0) + 1
    # 9 degrees of freedom; 27.9 is the limit at p = 0.001.
    chi_square = sum((first.get(ip, 0) - 100) ** 2 / 100 for ip in addresses)
    assert chi_square < 27.9


async def test_never_half_a_set_nor_a_false_denial_while_endpoints_churn() -> None:
    sets = [[f"10.{n}.{i // 250}.{i % 250 + 1}" for i in range(200)] for n in range(2, 6)]
    async with desk(COREFILE, *DEMO) as server:
        query = dns.message.make_query("db.demo.svc.cluster.local.", "A", payload=8192).to_wire()
        for number in range(40):
            addresses = sets[number % len(sets)]
            server.put(slice_("db", *addresses, ports=("sql/TCP/5432",)))
            for _ in range(2):
                wire = server.answerer.quick(query) or await server.wire(query)
                reply = message.parse(wire)
                assert reply.rcode == 0
                assert {inet_ntoa(record.rdata) for record in reply.answer} == set(addresses)


async def test_what_was_counted_is_told_when_counters_are_asked() -> None:
    text = COREFILE.replace("    errors\n", "    errors\n    prometheus :9153\n")
    async with desk(text, *DEMO) as server:
        wire = dns.message.make_query("web.demo.svc.cluster.local.", "A").to_wire()
        await server.wire(wire)
        for _ in range(9):
            assert server.answerer.quick(wire) is not None
        server.world.tell = server.answerer.memo.tell
        page = await (await server.pages.get(":9153", "/metrics")).read()
    counted = [
        line for line in page.decode().splitlines()
        if line.startswith("coredns_dns_requests_total") and 'type="A"' in line
    ]  # fmt: skip
    assert [line.rsplit(" ", 1)[1] for line in counted] == ["10"]
