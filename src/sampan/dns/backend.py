"""From what a store of services knows to records: shared by *kubernetes*, *k8s_external*, *etcd*.

A source finds services for a name; here they become A, AAAA, SRV, PTR, CNAME, TXT, MX, NS and SOA
records, aliases are followed, and what is not there becomes NODATA or NXDOMAIN with an SOA.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from sampan.dns import codes, names
from sampan.dns.message import Record
from sampan.dns.plugin import Family, Query, Reply, Validity
from sampan.dns.rdata import a_record, name_record, soa_record, srv_record, txt_record

MAX_ALIASES = 10
SOA_TIMES = (7200, 1800, 86400)
SOA_TTL = 300
FULL = 100
"""The weight of what has none of its own."""
SERIAL = "serial"
"""The tag of replies that hold a serial number."""


class Found(NamedTuple):
    """One service that a name leads to. `host` is an address or a name; `domain` the name that an
    address gets as an SRV target. Port -1 has no SRV record.
    """

    host: str
    domain: str = ""
    port: int = 0
    ttl: int = 5
    priority: int = 0
    weight: int = 0
    text: str = ""
    mail: bool = False

    @property
    def type(self) -> int:
        """A, AAAA, CNAME or TXT: a text comes before a name, and an address before both."""
        kind = kind_of_host(self.host) if self.host else codes.TXT
        return codes.TXT if kind == codes.CNAME and self.text else kind


@lru_cache(maxsize=1 << 16)
def kind_of_host(host: str) -> int:
    """A or AAAA for an address, CNAME for a name. 010 is eight to some and ten to others, so it is
    no part of an address; nor is an interface.
    """
    six = ":" in host
    try:
        socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
    except (OSError, ValueError):
        return codes.CNAME
    return codes.AAAA if six else codes.A


@dataclass(slots=True)
class Asked:
    """One look-up. Sources note in `tags` what their answer depends on."""

    name: str
    """Lower-case."""
    qname: str
    """In the client's case."""
    type: int
    zone: str
    """In the client's case, as are the names made from it."""
    query: Query
    tags: set[Hashable] = field(default_factory=set)
    aliases: tuple[str, ...] = ()
    outside: bool = False
    """Another server had a part in the answer: it holds for this query only."""
    truncated: bool = False

    def about(self, qname: str, kind: int | None = None) -> Asked:
        """The same query, another name or type; what it depends on is noted here too."""
        other = Asked(
            qname.lower(), qname, self.type if kind is None else kind, self.zone, self.query
        )
        other.tags = self.tags
        return other


class Source(Protocol):
    """Where services come from. None says that there is no such name."""

    @property
    def ttl(self) -> int: ...

    async def services(self, asked: Asked) -> list[Found] | None: ...

    async def reverse(self, asked: Asked) -> list[Found] | None: ...

    def serial(self, zone: str) -> int: ...


class Answer(NamedTuple):
    """None for `records`: no such name."""

    records: list[Record] | None
    extra: list[Record]


async def look_up(source: Source, asked: Asked) -> Answer:
    """Records of the type that is asked for; for types that no service has, whether the name
    exists.
    """
    kind = asked.type
    if kind in (codes.A, codes.AAAA, codes.TXT):
        return Answer(await addresses(source, asked), [])
    if kind in (codes.SRV, codes.MX):
        return await _targets(source, asked)
    if kind == codes.SOA and len(asked.name) == len(asked.zone):
        asked.tags.add(SERIAL)
        return Answer([soa(source, asked.zone)], [])
    if kind == codes.NS and asked.name == asked.zone:
        # A zone in other letters has no name servers; upstream compares them as they came.
        return await _name_servers(source, asked)
    return Answer(await _plain_records(source, asked), [])


async def _plain_records(source: Source, asked: Asked) -> list[Record] | None:
    kind = asked.type
    if kind == codes.CNAME:
        return await _alias(source, asked)
    if kind == codes.PTR:
        return await _pointers(source, asked)
    if kind == codes.SOA:
        return []
    found = await addresses(source, asked.about(asked.qname, codes.A))
    return None if found is None else []


def soa(source: Source, zone: str) -> Record:
    return _soa(zone, source.serial(zone.lower()), source.ttl)


@lru_cache(maxsize=64)
def _soa(zone: str, serial: int, ttl: int) -> Record:
    dot = "" if zone == "." else zone
    numbers = (serial, *SOA_TIMES, ttl)
    return soa_record(zone, min(ttl, SOA_TTL), f"ns.dns.{dot}", f"hostmaster.{dot}", numbers)


def reply_from(source: Source, asked: Asked, answer: Answer, family: Family | None = None) -> Reply:
    """The records as a reply; without any, NODATA with the zone's SOA."""
    if not answer.records:
        return denial(source, asked, codes.NOERROR, family=family)
    flags = codes.QR | codes.AA | asked.query.message.flags & (codes.RD | codes.CD)
    return Reply(
        codes.NOERROR,
        tuple(answer.records),
        additional=tuple(answer.extra),
        flags=flags | (codes.TC if asked.truncated else 0),
        validity=None if asked.outside else Validity(tuple(asked.tags), family=family),
    )


def denial(
    source: Source, asked: Asked, rcode: int, below_labels: int = 0, family: Family | None = None
) -> Reply:
    """NODATA or NXDOMAIN. It names the serial, so it also depends on that."""
    tags = (*asked.tags, SERIAL)
    return Reply(
        rcode,
        authority=(soa(source, asked.zone),),
        flags=codes.QR | codes.AA | asked.query.message.flags & (codes.RD | codes.CD),
        validity=None
        if asked.outside
        else Validity(tags, below_labels=below_labels, family=family),
    )


async def addresses(source: Source, asked: Asked) -> list[Record] | None:
    """A, AAAA or TXT records, aliases followed inside the zone and out of it."""
    if len(asked.name) == len(asked.zone) and asked.type != codes.TXT:
        services = await _at_apex_or(source, asked)
    else:
        services = await source.services(asked)
    if services is None:
        return None
    records: list[Record] = []
    seen: set[str] = set()
    for one in services:
        kind = one.type
        if kind == codes.CNAME:
            records += await _followed(source, asked, one)
        elif kind == asked.type:
            value = one.text if kind == codes.TXT else one.host
            if value not in seen:
                seen.add(value)
                records.append(_record(asked.qname, one, kind))
    return records


def _record(name: str, one: Found, kind: int) -> Record:
    if kind == codes.TXT:
        return txt_record(name, one.ttl, *_split(one.text))
    return a_record(name, one.ttl, one.host)


def _split(text: str) -> list[str]:
    """A text in strings of at most 255 bytes; behind full ones comes an empty one."""
    return [text[i : i + 255] for i in range(0, len(text) + 1, 255)]


async def _at_apex_or(source: Source, asked: Asked) -> list[Found] | None:
    """At the apex, records stand under `apex.dns` where the source has such a thing."""
    if asked.name == asked.zone.lower() and asked.zone != ".":
        found = await source.services(asked.about(f"apex.dns.{asked.zone}"))
        if found is not None:
            return found
    return await source.services(asked)


async def _followed(source: Source, asked: Asked, one: Found) -> list[Record]:
    """An alias and what it leads to; nothing for a loop or for a dead end inside the zone."""
    target = names.fqdn(one.host)
    folded = target.lower()
    if names.is_below(folded, asked.name) or folded in asked.aliases:
        return []
    if len(asked.aliases) > MAX_ALIASES:
        return []
    alias = name_record(asked.qname, codes.CNAME, one.ttl, target)
    if names.is_below(folded, asked.zone.lower()):
        further = asked.about(target)
        further.aliases = (*asked.aliases, folded)
        found = await addresses(source, further)
        asked.outside |= further.outside
        asked.truncated |= further.truncated
        return [alias, *found] if found else []
    return [alias, *await elsewhere(asked, target, asked.type)]


async def elsewhere(asked: Asked, target: str, kind: int) -> tuple[Record, ...]:
    """What the whole server answers for a name that is not ours."""
    asked.outside = True
    query = asked.query.asking(target, kind)._replace(depth=asked.query.depth + 1)
    reply = await query.server.resolve(query)
    asked.truncated |= bool(reply.flags & codes.TC)
    return reply.answer


async def _targets(source: Source, asked: Asked) -> Answer:
    """SRV or MX records, with the addresses of their targets."""
    services = await source.services(asked)
    if services is None:
        return Answer(None, [])
    totals = _totals(services)
    services = [one for one in services if one.type != codes.TXT]
    mail = asked.type == codes.MX
    if mail:
        services = [one for one in services if one.mail]
    records: list[Record] = []
    extra: list[Record] = []
    seen: set[tuple[str, object]] = set()
    for one in services:
        if one.port == -1 and not mail:
            continue
        is_name = one.type == codes.CNAME
        target = names.fqdn(one.host) if is_name else one.domain
        record = _target_record(asked, one, target, totals)
        rank = one.priority if mail else one.port
        if is_name:
            records.append(record)
        elif (target, rank) not in seen:
            records.append(record)
            seen.add((target, rank))
        if is_name and (target, "") not in seen:
            seen.add((target, ""))
            extra += await _addresses_of(source, asked, target)
        elif not is_name and (target, one.host) not in seen:
            seen.add((target, one.host))
            extra.append(a_record(target, one.ttl, one.host))
    return Answer(records, extra)


def _target_record(asked: Asked, one: Found, target: str, totals: dict[int, int]) -> Record:
    if asked.type == codes.MX:
        data = struct.pack("!H", one.priority) + names.wire(target)
        return Record(asked.qname, codes.MX, codes.IN, one.ttl, data)
    numbers = (one.priority, share(totals[one.priority], one.weight or FULL), one.port)
    return srv_record(asked.qname, one.ttl, numbers, target)


def _totals(services: Iterable[Found]) -> dict[int, int]:
    """The weights of each priority together."""
    totals: dict[int, int] = {}
    for one in services:
        totals[one.priority] = totals.get(one.priority, 0) + (one.weight or FULL)
    return totals


def share(total: int, weight: int = FULL) -> int:
    """A weight in percent of all of its priority."""
    return max(1, int(100.0 / total * weight))


async def _addresses_of(source: Source, asked: Asked, target: str) -> list[Record]:
    if names.is_below(target.lower(), asked.zone.lower()):
        return await addresses(source, asked.about(target, codes.A)) or []
    found = list(await elsewhere(asked, target, codes.A))
    sixes = await elsewhere(asked, target, codes.AAAA)
    return found + [record for record in sixes if record.type != codes.CNAME]


async def _alias(source: Source, asked: Asked) -> list[Record] | None:
    services = await source.services(asked)
    if services is None:
        return None
    if services and services[0].host and kind_of_host(services[0].host) == codes.CNAME:
        one = services[0]
        return [name_record(asked.qname, codes.CNAME, one.ttl, names.fqdn(one.host))]
    return []


async def _pointers(source: Source, asked: Asked) -> list[Record] | None:
    services = await source.reverse(asked)
    if services is None:
        return None
    hosts = {one.host: one for one in services if kind_of_host(one.host) == codes.CNAME}
    return [
        name_record(asked.qname, codes.PTR, one.ttl, names.fqdn(host))
        for host, one in hosts.items()
    ]


async def _name_servers(source: Source, asked: Asked) -> Answer:
    """The zone's name servers stand under `ns.dns`."""
    dot = "" if asked.zone == "." else asked.zone
    services = await source.services(asked.about(f"ns.dns.{dot}", codes.NS))
    if services is None:
        return Answer(None, [])
    addressed = [one for one in services if one.type in (codes.A, codes.AAAA)]
    hosts = {one.domain: one for one in addressed}
    records = [name_record(asked.qname, codes.NS, one.ttl, host) for host, one in hosts.items()]
    return Answer(records, [a_record(one.domain, one.ttl, one.host) for one in addressed])
