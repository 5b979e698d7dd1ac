"""Replies made from another name's are what the chain would send: Services, sets of endpoints,
their ports, of all shapes, whatever changes in between and whatever plugins stand in front.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dns import codes, message
from sampan.dns.plugin import Client
from tests.dns.clusters import Obj, namespace, service, slice_
from tests.dns.desk import Desk, desk
from tests.dns.test_fast_path import KUBERNETES, PLUGINS, quick_and_slow

EXAMPLES = int(os.environ.get("SAMPAN_EXAMPLES", "15"))
FEW = [f"s{number}" for number in range(6)]
names = st.sampled_from(FEW)
ports = st.lists(
    st.sampled_from(
        ["http/TCP/80", "http/UDP/80", "dns/UDP/53", "/TCP/80", "Metrics/TCP/9090", "sql/TCP/5432"]
    ),
    max_size=3,
    unique=True,
).map(tuple)
fours = st.integers(1, 60).map(lambda number: f"10.1.0.{number}")
sixes = st.integers(1, 9).map(lambda number: f"fd00::{number}")
hosts = st.sampled_from(
    ["", "", " pod-0", " pod-1", " Pod-1", " - web-7", " " + "h" * 63, " - a.b"]
)
LEFT = st.sampled_from(["", "", "!"])


def sets(addresses: st.SearchStrategy[str], most: int) -> st.SearchStrategy[Obj]:
    endpoint = st.builds(lambda left, ip, host: left + ip + host, LEFT, addresses, hosts)
    some = st.lists(endpoint, min_size=1, max_size=most)
    return st.builds(lambda name, few, which: slice_(name, *few, ports=which), names, some, ports)


clusters_ips = st.one_of(
    st.just(()),
    st.tuples(fours), st.tuples(sixes), st.tuples(fours, sixes), st.tuples(sixes, fours),
)  # fmt: skip
services = st.builds(
    lambda name, ips, which: service(name, *ips, ports=which), names, clusters_ips, ports
)
alias = st.builds(
    lambda name, to: service(
        name, type="ExternalName", externalName=f"{to}.demo.svc.cluster.local", clusterIPs=[]
    ),
    names, names,
)  # fmt: skip
objects = st.one_of(
    services, services, sets(fours, 4), sets(fours, 4), sets(fours, 70), sets(sixes, 3), alias
)
alike = st.builds(
    lambda ips, endpoints, which: [
        obj
        for number, name in enumerate(FEW, 1)
        for obj in (
            service(name, *(ip + str(number) for ip in ips), ports=which),
            slice_(name, *(text.replace("x", f"10.{number}.1") for text in endpoints), ports=which),
        )
    ],
    st.sampled_from([(), (), ("10.96.1.",), ("fd00:1::",), ("fd00:1::", "10.96.1.")]),
    st.sampled_from(
        [
            ["x.1"],
            ["x.1 pod-0", "x.2 pod-1", "x.3"],
            ["x.1 pod-0", "x.2 pod-0", "x.2 pod-1", "!x.4"],
        ]
    ),
    ports.map(lambda some: (*some, "http/TCP/8080")),
)
"""Services that differ but in their addresses."""
clusters = st.builds(lambda same, others: [*same, *others], alike, st.lists(objects, max_size=6))
fronts = st.sampled_from(
    [*[""] * 9, *["_http._tcp."] * 9, *["pod-0."] * 6, "_dns._udp.", "http.TCP.", "_._tcp.",
     "_metrics._tcp.", "POD-1.", "web-7.", "a.b.", "10-1-0-7.", "10-1-0-8.",
     "fd00--1.", "_http.", "*.", "h" * 63 + ".", "a\\.b.", "x._http._tcp.",
     "\\001._tcp.", "pod-0._http._tcp."]
)  # fmt: skip
ends = st.sampled_from(
    [".demo.svc.cluster.local."] * 5 + [".Demo.svc.cluster.local.", ".demo.svc.CLUSTER.local."]
)
options = st.sampled_from(
    [{}, {"use_edns": 0, "payload": 1232}, {"use_edns": 0, "payload": 1232},
     {"use_edns": 0, "payload": 4096, "want_dnssec": True}]
)  # fmt: skip
asked = st.lists(st.sampled_from([*FEW, *FEW, "S1", "S2", "none"]), min_size=4, max_size=8)
kinds = st.sampled_from(["A", "A", "AAAA", "SRV", "SRV", "TXT"])
rounds = st.tuples(st.lists(objects, max_size=1), fronts, asked, ends, kinds, options)
"""What changes, and then one kind of question about several Services."""
PODS = KUBERNETES.replace("pods insecure", "pods verified\n endpoint_pod_names")
steps = st.lists(rounds, min_size=5, max_size=20)


def unordered(wire: bytes) -> Any:
    """The reply but for the order of its addresses, and for which of them were cut."""
    reply = message.parse(wire)
    if reply.flags & codes.TC:
        return reply[:5], len(reply.answer)
    moving = tuple(sorted(record for record in reply.answer if record.type != codes.SRV))
    fixed = tuple(record for record in reply.answer if record.type == codes.SRV)
    return reply._replace(answer=moving + fixed)


async def _ask(server: Desk, script: list[Any], *, turned: bool) -> None:
    seen = unordered if turned else bytes
    for changes, front, few, end, kind, more in script:
        server.put(*changes)
        for number, name in enumerate(few):
            query = dns.message.make_query(front + name + end, kind, id=number, **more)
            quick, slow = await quick_and_slow(server, query.to_wire(), seen)
            assert quick is None or seen(quick) == seen(slow)


async def _same(first: list[Obj], script: list[Any], lines: list[str], *, turned: bool) -> None:
    chosen = {line.split()[0]: line for line in lines}.values()
    corefile = "\n".join([". {", *chosen, "loadbalance" * turned, PODS, "}"])
    async with desk(corefile, namespace("demo"), *first) as server:
        await _ask(server, script, turned=turned)


@settings(max_examples=EXAMPLES, deadline=None)
@given(clusters, steps, st.lists(st.sampled_from(PLUGINS), unique=True, max_size=3), st.booleans())
def test_replies_made_from_others_are_what_the_chain_would_send(
    first: list[Obj], script: list[Any], lines: list[str], turned: bool
) -> None:
    asyncio.run(_same(first, script, lines, turned=turned))


def _sets(count: int) -> list[Obj]:
    found = []
    for number in range(100, 100 + count):
        found.append(service(f"s{number}"))
        few = (f"10.{place}.2.{number} pod-{place}" for place in range(3))
        found += [slice_(f"s{number}", *few), service(f"w{number}", f"10.96.2.{number}")]
    return found


KINDS = [
    ("{set}", "A"), ("{set}", "AAAA"), ("{set}", "SRV"), ("_http._tcp.{set}", "SRV"),
    ("pod-1.{set}", "A"), ("pod-1.{set}", "SRV"), ("_http._tcp.{web}", "SRV"), ("{web}", "SRV"),
    ("_http._tcp.{web}", "A"),
]  # fmt: skip
PLACES = "{remote}:{port} {>id} {type} {class} {name} {proto} {size} {>do} {>bufsize} {rcode}"
LOG = f'log . "%s 5% {PLACES} {{>rflags}} {{rsize}} {{>opcode}}"'


async def _no_chain(lines: list[str], *, heard: bool) -> None:
    """All kinds of names that nobody asked for yet; only the first of a kind takes the chain."""
    corefile = "\n".join([". {", *lines, PODS, "}"])
    async with desk(corefile, namespace("demo"), *_sets(30)) as server:
        memo = server.answerer.memo
        for number in range(100, 130):
            for name, kind in KINDS:
                full = name.format(set=f"s{number}", web=f"w{number}") + ".demo.svc.cluster.local."
                wire = dns.message.make_query(full, kind, id=number, use_edns=0).to_wire()
                found = server.answerer.quick(wire)
                if heard:
                    found = memo.find_heard(wire, "192.0.2.1", number, memo.now)
                    said = server.log.lines[-1:]
                server.answerer.memo = type(memo)()
                slow = await server.wire(wire, Client("192.0.2.1", number))
                server.answerer.memo = memo
                assert (found is None) == (number == 100), (full, kind)
                if found is None:
                    await server.wire(wire, Client("192.0.2.1", number))
                else:
                    assert unordered(found) == unordered(slow)
                    if heard:
                        assert server.log.lines[-1:] == said
                        assert said[0].startswith(f"[INFO] %s 5% 192.0.2.1:{number} {number} ")
        assert len(memo.rows) + len(memo.heard) == len(KINDS)


async def test_sets_ports_and_endpoints_never_asked_before_need_no_chain() -> None:
    for lines in ([], ["loadbalance"], ["loadbalance", "cache 30", "minimal"]):
        await _no_chain(lines, heard=False)


async def test_the_log_hears_of_sets_ports_and_endpoints_too() -> None:
    await _no_chain(["loadbalance", LOG], heard=True)


async def test_addresses_of_sets_never_asked_before_take_turns_in_front() -> None:
    first: dict[int, int] = {}
    objs = [namespace("demo")]
    for number in range(1000, 1600):
        few = (f"10.{place}.0.1" for place in range(6))
        objs += [service(f"t{number}"), slice_(f"t{number}", *few)]
    async with desk("\n".join([". {", "loadbalance", PODS, "}"]), *objs) as server:
        chain = 0
        for number in range(1000, 1600):
            name = f"t{number}.demo.svc.cluster.local."
            wire = dns.message.make_query(name, "A").to_wire()
            quick = server.answerer.quick(wire)
            chain += quick is None
            reply = message.parse(quick or await server.wire(wire))
            assert {record.rdata[1] for record in reply.answer} == set(range(6))
            front = reply.answer[0].rdata[1]
            first[front] = first.get(front, 0) + 1
            assert server.answerer.quick(wire) is not None  # a row of its own, that turns
        assert chain == 1
    # 5 degrees of freedom; 20.5 is the limit at p = 0.001.
    assert sum((first.get(place, 0) - 100) ** 2 / 100 for place in range(6)) < 20.5


async def test_a_set_with_a_name_in_an_address_place_is_left_to_the_chain() -> None:
    async with desk(". {\n" + PODS + "\n}", namespace("demo"), *_sets(3)) as server:
        for number in (100, 101):
            name = f"s{number}.demo.svc.cluster.local."
            await server.wire(dns.message.make_query(name, "A").to_wire())
        server.put(slice_("s102", "10.1.2.102", "out.example.org", "10.3.2.102"))
        wire = dns.message.make_query("s102.demo.svc.cluster.local.", "A").to_wire()
        assert server.answerer.quick(wire) is None
        reply = message.parse(await server.wire(wire))
        assert codes.CNAME in {record.type for record in reply.answer}


async def test_a_set_changes_between_two_queries_of_a_kind_that_has_a_model() -> None:
    async with desk(". {\n" + PODS + "\n}", namespace("demo"), *_sets(3)) as server:
        for number in (100, 101):
            name = f"s{number}.demo.svc.cluster.local."
            await server.wire(dns.message.make_query(name, "A").to_wire())
        wire = dns.message.make_query("s102.demo.svc.cluster.local.", "A").to_wire()
        before = server.answerer.quick(wire)
        assert before is not None
        assert server.answerer.quick(wire) == before
        server.put(slice_("s102", "10.9.9.1", "10.9.9.2", "10.9.9.3"))
        after = server.answerer.quick(wire)
        assert after is not None
        assert {record.rdata[:3] for record in message.parse(after).answer} == {b"\n\x09\x09"}
        server.put(slice_("s102", "!10.9.9.1"))
        gone = server.answerer.quick(wire)
        assert gone in (None, await server.wire(wire))
        assert message.parse(await server.wire(wire)).rcode == codes.NXDOMAIN
