"""A cluster's zone handed out whole."""

from __future__ import annotations

import dns.message
import dns.rdataclass
import dns.rdatatype

from sampan.dns.plugin import Client
from tests.dns.clusters import COREFILE, DEMO
from tests.dns.desk import desk, shown

TEXT = COREFILE.replace("    loadbalance\n", "    transfer {\n        to *\n    }\n")
TCP = Client(proto="tcp")
D = "demo.svc.cluster.local."


def transfer(kind: str, serial: int = 0) -> bytes:
    query = dns.message.make_query("cluster.local.", kind)
    if kind == "IXFR":
        soa = dns.rrset.from_text(
            "cluster.local.", 0, "IN", "SOA", f"ns.dns.cluster.local. x. {serial} 1 1 1 1"
        )
        query.authority.append(soa)
    return query.to_wire()


async def test_every_service_is_in_the_zone_and_the_soa_at_both_ends() -> None:
    async with desk(TEXT, *DEMO) as server:
        parts = await server.answerer.full(transfer("AXFR"), TCP)
    read = [dns.message.from_wire(part, one_rr_per_rrset=True) for part in parts]
    records = [str(rrset) for message in read for rrset in message.answer]
    assert records[0] == records[-1]
    assert records[0].startswith("cluster.local. 30 IN SOA ns.dns.cluster.local.")
    assert "cluster.local. 30 IN NS ns.dns.cluster.local." in records
    for line in (
        f"web.{D} 30 IN A 10.96.1.1",
        f"web.{D} 30 IN SRV 0 100 80 web.{D}",
        f"_http._tcp.web.{D} 30 IN SRV 0 100 80 web.{D}",
        f"dual.{D} 30 IN AAAA fd00:10:96::2",
        f"db.{D} 30 IN A 10.1.0.12",
        f"db-0.db.{D} 30 IN A 10.1.0.11",
        f"_sql._tcp.db.{D} 30 IN SRV 0 50 5432 db-0.db.{D}",
        f"out.{D} 30 IN CNAME www.example.org.",
    ):
        assert line in records


async def test_who_has_this_serial_gets_the_soa_alone() -> None:
    async with desk(TEXT, *DEMO) as server:
        soa = (await server.ask("cluster.local.", "SOA")).answer[0][0]
        parts = await server.answerer.full(transfer("IXFR", soa.serial), TCP)
        older = await server.answerer.full(transfer("IXFR", soa.serial - 1), TCP)
    assert len(dns.message.from_wire(parts[0]).answer) == 1
    assert len(dns.message.from_wire(older[0]).answer) > 5


async def test_nobody_gets_a_zone_over_udp_or_without_the_plugin() -> None:
    async with desk(TEXT, *DEMO) as server:
        reply = dns.message.from_wire(await server.wire(transfer("AXFR")))
        assert shown(reply)[0] == "REFUSED"
    async with desk(COREFILE, *DEMO) as server:
        reply = dns.message.from_wire(await server.wire(transfer("AXFR"), TCP))
        assert shown(reply)[0] == "REFUSED"
