"""Zones that are fetched: catalogs (RFC 9432), whose members come and go by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.message
import dns.opcode
import dns.zone
import pytest

from sampan.dns.corefile import CorefileError
from sampan.dns.zone.catalog import BadCatalog, Catalogs, Member, members_of
from sampan.dns.zonefile import read
from tests.dns.desk import Desk, answers, desk

SOA = "@ 60 IN SOA ns. host. {serial} 3600 600 86400 60\n@ 60 IN NS invalid.\n"
CATALOG = SOA + 'version 60 IN TXT "2"\n'


class Primary:
    """Answers AXFR and SOA over TCP from texts; each change has a higher serial."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.serial = 1

    def put(self, origin: str, text: str) -> None:
        self.serial += 1
        self.texts[origin] = text.format(serial=self.serial)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(size))
        reply = dns.message.make_response(query)
        name = query.question[0].name.to_text()
        if name in self.texts:
            zone = dns.zone.from_text(self.texts[name], name, relativize=False)
            soa = zone.find_rrset("@" if zone.relativize else name, "SOA")
            reply.answer.append(soa)
            if query.question[0].rdtype.name == "AXFR":
                for owner, rdatas in zone.iterate_rdatasets():
                    if rdatas.rdtype.name != "SOA":
                        rrset = dns.rrset.from_rdata_list(owner, rdatas.ttl, list(rdatas))
                        reply.answer.append(rrset)
                reply.answer.append(soa)
        else:
            reply.set_rcode(5)
        wire = reply.to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def pair(text: str) -> AsyncIterator[tuple[Primary, Callable[..., Any]]]:
    """A primary, and what starts a server with a Corefile that names its port as `{port}`."""
    primary = Primary()
    listener = await asyncio.start_server(primary.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield primary, lambda: desk(text.replace("{port}", str(port)))


async def until(server: Desk, name: str, wanted: str) -> None:
    """The first answer to an A query, or the response code, becomes this."""
    async with asyncio.timeout(10):
        while True:
            reply = await server.ask(name)
            found = [line.split()[-1] for line in answers(reply)] or [reply.rcode().name]
            if found == [wanted]:
                return
            await asyncio.sleep(0)


async def notify(server: Desk, zone: str) -> None:
    message = dns.message.make_query(zone, "SOA")
    message.set_opcode(dns.opcode.NOTIFY)
    await server.wire(message.to_wire())


async def test_what_a_catalog_lists_is_served_and_what_it_no_longer_lists_is_not() -> None:
    text = """. {
    secondary catalog.example {
        transfer from 127.0.0.1:{port}
        catalog example.org
    }
    whoami
}"""
    async with pair(text) as (primary, started):
        primary.put("one.example.org.", SOA + "www 60 IN A 192.0.2.1\n")
        primary.put("elsewhere.example.org.", SOA + "www 60 IN A 192.0.2.2\n")
        primary.put("catalog.example.", CATALOG + "a.zones 60 IN PTR one.example.org.\n"
                    "b.zones 60 IN PTR other.example.\n")  # fmt: skip
        async with started() as server:
            await until(server, "www.one.example.org.", "192.0.2.1")
            assert (await server.ask("www.elsewhere.example.org.")).additional  # *whoami*
            primary.put("catalog.example.", CATALOG + "c.zones 60 IN PTR elsewhere.example.org.\n")
            await notify(server, "catalog.example.")
            await until(server, "www.elsewhere.example.org.", "192.0.2.2")
            assert not answers(await server.ask("www.one.example.org."))
            lines = "\n".join(server.log.lines)
    assert "Added catalog member zone one.example.org. from catalog catalog.example." in lines
    assert "Removed catalog member zone one.example.org. from catalog catalog.example." in lines
    assert "Skipped 1 member zones from catalog catalog.example.: outside configured" in lines


async def test_a_broken_catalog_changes_nothing() -> None:
    text = ". {\n secondary catalog.example {\n transfer from 127.0.0.1:{port}\n catalog\n }\n}"
    async with pair(text) as (primary, started):
        primary.put("one.example.org.", SOA + "www 60 IN A 192.0.2.1\n")
        primary.put("catalog.example.", CATALOG + "a.zones 60 IN PTR one.example.org.\n")
        async with started() as server:
            await until(server, "www.one.example.org.", "192.0.2.1")
            primary.put("catalog.example.", SOA)
            await notify(server, "catalog.example.")
            async with asyncio.timeout(10):
                while "exactly one version TXT" not in server.log.lines[-1]:
                    await server.ask("www.one.example.org.")
                    await asyncio.sleep(0)
            assert answers(await server.ask("www.one.example.org."))


def listed(text: str) -> list[Member]:
    origin = "c.example."
    lines = text.format(serial=1)
    return members_of(origin, read(lines, origin, "zone"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SOA, "exactly one version"),
        (SOA + 'version 1 IN TXT "1"\n', 'unsupported version "1"'),
        (CATALOG + "a.zones 1 IN PTR x.\na.zones 1 IN PTR y.\n", "exactly one PTR"),
        (CATALOG + "a.zones 1 IN PTR x.\nb.zones 1 IN PTR X.\n", "listed by both a and b"),
        (CATALOG + "a.zones 1 IN PTR x.\ncoo.a.zones 1 IN PTR y.\ncoo.a.zones 1 IN PTR z.\n",
         "more than one coo"),
        ('version 1 IN TXT "2"\n', "no SOA"),
    ],
)  # fmt: skip
def test_what_is_no_catalog_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadCatalog, match=why):
        listed(text)


def test_members_and_their_heirs() -> None:
    text = CATALOG + "b.zones 1 IN PTR y.\nA.zones 1 IN PTR X.\ncoo.a.zones 1 IN PTR d.example.\n"
    assert listed(text) == [Member("a", "x.", "d.example."), Member("b", "y.")]


def test_a_zone_moves_only_to_the_heir_and_keeps_its_content_under_the_same_label() -> None:
    catalogs = Catalogs()
    assert [c.zone for c in catalogs.take("c.", [Member("a", "x.", "d.")], {"c."}, ())] == ["x."]
    served = {"c.", "d.", "e.", "x."}
    (clash,) = catalogs.take("e.", [Member("a", "x.")], served, ())
    assert clash.member is None
    assert "zone already exists" in clash.note
    (moved,) = catalogs.take("d.", [Member("a", "x.")], served, ())
    assert moved.keeps
    assert list(catalogs.take("c.", [], served, ())) == []
    (reset,) = catalogs.take("d.", [Member("b", "x.")], served, ())
    assert (reset.keeps, reset.gone) == (False, False)
    assert list(catalogs.take("d.", [Member("b", "x.")], served, ())) == []
    (gone,) = catalogs.take("d.", [], served, ())
    assert gone.gone


async def test_acme_is_refused_in_one_line_that_says_what_to_do() -> None:
    text = "tls://. {\n tls {\n acme dns.example.org\n }\n whoami\n}"
    with pytest.raises(CorefileError, match="'acme': certificates are not fetched by ACME here"):
        async with desk(text):
            pass
