"""The Kubernetes DNS specification 1.1.0, answer for answer, for every type of record."""

from __future__ import annotations

import asyncio
import marshal

import dns.flags
import pytest

from sampan.dns.kube import model
from sampan.dns.plugin import Client
from sampan.testing.clock import EPOCH
from tests.dns.clusters import COREFILE, DEMO, service, slice_
from tests.dns.desk import Desk, answers, desk, row, shown

ZONE = "cluster.local."
D = f"demo.svc.{ZONE}"
TCP = Client(proto="tcp")

TABLE = [
    # 2.2 the schema's version
    (f"dns-version.{ZONE}", "TXT", [f'dns-version.{ZONE} 28800 IN TXT "1.1.0"']),
    # 2.3.1 A and AAAA of services with a cluster IP
    (f"web.{D}", "A", [f"web.{D} 30 IN A 10.96.1.1"]),
    (f"web.{D}", "AAAA", "NODATA"),
    (f"dual.{D}", "A", [f"dual.{D} 30 IN A 10.96.1.2"]),
    (f"dual.{D}", "AAAA", [f"dual.{D} 30 IN AAAA fd00:10:96::2"]),
    (f"six.{D}", "A", "NODATA"),
    (f"six.{D}", "AAAA", [f"six.{D} 30 IN AAAA fd00:10:96::6"]),
    (f"web.{D}", "MX", "NODATA"),
    (f"nope.{D}", "A", "NXDOMAIN"),
    (f"x.web.{D}", "A", "NXDOMAIN"),
    # names that are there because something is below them
    (f"demo.svc.{ZONE}", "A", "NODATA"),
    (f"empty.svc.{ZONE}", "A", "NODATA"),
    (f"svc.{ZONE}", "A", "NODATA"),
    (f"absent.svc.{ZONE}", "A", "NXDOMAIN"),
    (f"web.absent.svc.{ZONE}", "A", "NXDOMAIN"),
    (f"nope.{ZONE}", "A", "NXDOMAIN"),
    # 2.3.2 SRV of named ports
    (f"_http._tcp.web.{D}", "SRV", [f"_http._tcp.web.{D} 30 IN SRV 0 100 80 web.{D}"]),
    (f"_dns._udp.web.{D}", "SRV", [f"_dns._udp.web.{D} 30 IN SRV 0 100 53 web.{D}"]),
    (f"_http._udp.web.{D}", "SRV", "NXDOMAIN"),
    (f"_none._tcp.web.{D}", "SRV", "NXDOMAIN"),
    (
        f"web.{D}",
        "SRV",
        [f"web.{D} 30 IN SRV 0 50 53 web.{D}", f"web.{D} 30 IN SRV 0 50 80 web.{D}"],
    ),
    # 2.3.3 PTR of cluster IPs
    ("1.1.96.10.in-addr.arpa.", "PTR", [f"1.1.96.10.in-addr.arpa. 30 IN PTR web.{D}"]),
    ("9.9.9.10.in-addr.arpa.", "PTR", "SERVFAIL"),
    # 2.4.1 headless: one record per ready endpoint
    (f"db.{D}", "A", [f"db.{D} 30 IN A 10.1.0.11", f"db.{D} 30 IN A 10.1.0.12"]),
    (f"db.{D}", "AAAA", [f"db.{D} 30 IN AAAA fd00::11"]),
    (f"db-0.db.{D}", "A", [f"db-0.db.{D} 30 IN A 10.1.0.11"]),
    (f"db-0.db.{D}", "AAAA", [f"db-0.db.{D} 30 IN AAAA fd00::11"]),
    (f"10-1-0-12.db.{D}", "A", [f"10-1-0-12.db.{D} 30 IN A 10.1.0.12"]),
    (f"db-2.db.{D}", "A", "NXDOMAIN"),
    (f"idle.{D}", "A", "NXDOMAIN"),
    (f"none.{D}", "A", "NXDOMAIN"),
    # 2.4.2 SRV of headless services
    (
        f"_sql._tcp.db.{D}",
        "SRV",
        [
            f"_sql._tcp.db.{D} 30 IN SRV 0 33 5432 10-1-0-12.db.{D}",
            f"_sql._tcp.db.{D} 30 IN SRV 0 33 5432 db-0.db.{D}",
        ],
    ),
    # 2.4.3 PTR of endpoints that have a hostname
    ("11.0.1.10.in-addr.arpa.", "PTR", [f"11.0.1.10.in-addr.arpa. 30 IN PTR db-0.db.{D}"]),
    # 2.5 external names
    (f"out.{D}", "CNAME", [f"out.{D} 30 IN CNAME www.example.org."]),
    (
        f"in.{D}",
        "A",
        [f"in.{D} 30 IN CNAME web.{D}", f"web.{D} 30 IN A 10.96.1.1"],
    ),
    # pods by address
    (f"10-1-7-7.demo.pod.{ZONE}", "A", [f"10-1-7-7.demo.pod.{ZONE} 30 IN A 10.1.7.7"]),
    (f"10-1-7-8.demo.pod.{ZONE}", "A", "NXDOMAIN"),
    # the apex
    (ZONE, "NS", [f"{ZONE} 30 IN NS ns.dns.{ZONE}"]),
    (f"ns.dns.{ZONE}", "A", [f"ns.dns.{ZONE} 30 IN A 10.9.9.9"]),
]


@pytest.mark.parametrize(("name", "kind", "wanted"), TABLE, ids=lambda v: str(v)[:40])
async def test_the_table(name: str, kind: str, wanted: str | list[str]) -> None:
    async with desk(COREFILE, *DEMO) as server:
        reply = await server.ask(name, kind)
    code, found, authority, _ = shown(reply)
    if wanted == "SERVFAIL":
        assert code == "SERVFAIL"  # nobody behind for reverse names of others
    elif isinstance(wanted, str):
        assert (code, found) == ("NOERROR" if wanted == "NODATA" else wanted, [])
        assert [line.split()[3] for line in authority] == ["SOA"]
        assert reply.flags & dns.flags.AA
    else:
        assert (code, found) == ("NOERROR", sorted(wanted))
        assert reply.flags & dns.flags.AA


async def test_the_case_of_the_question_comes_back() -> None:
    async with desk(COREFILE, *DEMO) as server:
        found = answers(await server.ask(f"WeB.DeMo.sVc.{ZONE}"))
    assert found == [f"WeB.DeMo.sVc.{ZONE} 30 IN A 10.96.1.1"]


async def test_an_srv_record_brings_its_addresses() -> None:
    async with desk(COREFILE, *DEMO) as server:
        extra = shown(await server.ask(f"_sql._tcp.db.{D}", "SRV"))[3]
    assert extra == [
        f"10-1-0-12.db.{D} 30 IN A 10.1.0.12",
        f"db-0.db.{D} 30 IN A 10.1.0.11",
        f"db-0.db.{D} 30 IN AAAA fd00::11",
    ]


@pytest.mark.parametrize(
    ("mode", "known", "unknown"),
    [
        ("disabled", "NXDOMAIN", "NXDOMAIN"),
        ("insecure", "NOERROR", "NOERROR"),
        ("verified", "NOERROR", "NXDOMAIN"),
    ],
)
async def test_names_of_pods_in_each_mode(mode: str, known: str, unknown: str) -> None:
    async with desk(COREFILE.replace("verified", mode), *DEMO) as server:
        for address, wanted in (("10-1-7-7", known), ("10-1-7-8", unknown)):
            reply = await server.ask(f"{address}.demo.pod.{ZONE}")
            assert shown(reply)[0] == wanted


async def test_a_change_is_answered_at_once_and_as_a_whole() -> None:
    async with desk(COREFILE, *DEMO) as server:
        before = answers(await server.ask(f"db.{D}"))
        many = [f"10.2.{i // 250}.{i % 250 + 1}" for i in range(1000)]
        server.put(slice_("db", *many, ports=("sql/TCP/5432",)))
        found = {line.split()[-1] for line in answers(await server.ask(f"db.{D}", client=TCP))}
        assert len(before) == 2
        assert found == set(many)
        gone = slice_("db", ports=("sql/TCP/5432",))
        server.put(gone)
        assert shown(await server.ask(f"db.{D}"))[:2] == ("NOERROR", [])
        server.drop(service("db"))
        assert shown(await server.ask(f"db.{D}"))[0] == "NXDOMAIN"


async def test_a_watching_half_that_begins_anew_forgets_what_is_gone_and_keeps_the_rest() -> None:
    async with desk(COREFILE, *DEMO) as server:
        kept = [row(obj) for obj in DEMO if obj["metadata"]["name"] != "web"]
        server.feeds.receive(marshal.dumps([(model.BEGUN,), *kept]))
        assert answers(await server.ask(f"web.{D}")) == [f"web.{D} 30 IN A 10.96.1.1"]
        server.feeds.receive(marshal.dumps([(model.SYNCED,)]))
        assert shown(await server.ask(f"web.{D}"))[0] == "NXDOMAIN"
        assert shown(await server.ask(f"dual.{D}"))[0] == "NOERROR"


class Stepping:
    """A clock that moves when it is told to, and wakes nobody."""

    def __init__(self) -> None:
        self.at = EPOCH

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_the_serial_moves_with_the_cluster_only() -> None:
    clock = Stepping()

    async def serial(server: Desk) -> int:
        return int(answers(await server.ask(ZONE, "SOA"))[0].split()[6])

    async with desk(COREFILE, *DEMO, clock=clock) as server:
        first = await serial(server)
        clock.at += 10
        server.put(*DEMO)
        assert await serial(server) == first
        server.put(service("web", "10.96.1.77"))
        assert await serial(server) == first + 10
