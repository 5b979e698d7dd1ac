"""Finding an answer in a zone: exact names, wildcards, aliases, delegations, denials.

From the apex down, label by label: a cut above the name is a referral; a name that is there
answers; else the nearest wildcard; else NXDOMAIN, unless something stands below the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sampan.dns import codes, names
from sampan.dns.message import Record, read_names
from sampan.dns.plugin import Query
from sampan.dns.rdata import name_record
from sampan.dns.zone.zone import Node, Zone, signatures

MAX_ALIASES = 8
SUCCESS, NAME_ERROR, DELEGATION, NO_DATA, FAILED = range(5)


class Outcome(NamedTuple):
    kind: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    outside: bool = False
    """Another zone or server had a part in it."""


@dataclass(slots=True)
class _Search:
    """What walking down to a name met."""

    node: Node | None = None
    wildcard: str = ""
    cut: Node | None = None
    cut_name: str = ""
    renamed: tuple[Record, ...] = ()
    """The DNAME that covers the name, and the alias made from it."""


async def look_up(zone: Zone, query: Query, name: str) -> Outcome:
    """The answer for a lower-case name in the zone, of the query's type."""
    if not zone.soa or query.depth > MAX_ALIASES:
        return Outcome(FAILED)
    if name == zone.origin and query.type in (codes.SOA, codes.NS):
        return _apex(zone, query.type, signed=query.do)
    search = _walk(zone, name, query.type)
    if search.renamed:
        return await _renamed(zone, query, search)
    if search.cut is not None:
        return _referral(zone, search.cut, signed=query.do)
    if search.node is not None:
        return await _at(zone, query, search.node, None)
    return await _missing(zone, query, name, search.wildcard)


def _apex(zone: Zone, kind: int, *, signed: bool) -> Outcome:
    found = zone.apex(kind, signed=signed)
    if kind == codes.SOA:
        return Outcome(SUCCESS, found, zone.apex(codes.NS, signed=signed))
    return Outcome(SUCCESS, found, (), glue(zone, found, signed=signed))


async def _missing(zone: Zone, query: Query, name: str, wildcard: str) -> Outcome:
    """A name that is not there: the wildcard's answer, or a denial."""
    if not wildcard or _closer_exists(zone, name, wildcard):
        return _denial(zone, name, signed=query.do)
    node = zone.nodes.get(wildcard)
    if node is None:
        return Outcome(NO_DATA, (), zone.apex(codes.SOA, signed=query.do))
    if query.metadata is not None:
        query.metadata["zone/wildcard"] = lambda: wildcard
    return await _at(zone, query, node, name)


def _walk(zone: Zone, name: str, kind: int) -> _Search:
    found = _Search()
    for step in _steps(zone.origin, name):
        node = zone.nodes.get(step)
        if node is None:
            wildcard = "*." + names.parent(step) if step != zone.origin else "*." + step
            if wildcard in zone.nodes or wildcard in zone.above:
                found.wildcard = wildcard
            continue
        if codes.DNAME in node and step != name:
            owner = node[codes.DNAME][0]
            found.renamed = (*node[codes.DNAME][:1], *_substituted(owner, name))
            found.node = node
            return found
        if codes.NS in node and not (kind == codes.DS and step == name):
            found.cut, found.cut_name = node, step
            return found
        if step == name:
            found.node = node
    return found


def _steps(origin: str, name: str) -> list[str]:
    """The origin, then one label more each time, up to the name."""
    labels = names.split(name)
    base = len(names.split(origin))
    return [".".join(labels[i:]) + "." for i in range(len(labels) - base, -1, -1)] or [origin]


def _substituted(record: Record, name: str) -> tuple[Record, ...]:
    """The alias that a DNAME makes of a name below it (RFC 6672)."""
    target = read_names(record)[0]
    head = name[: len(name) - len(record.name)]
    whole = head + ("" if target == "." else target)
    try:
        names.wire(whole)
    except names.BadName:
        return ()
    return (name_record(name, codes.CNAME, record.ttl, whole),)


async def _renamed(zone: Zone, query: Query, search: _Search) -> Outcome:
    rename, *made = search.renamed
    if not made or read_names(made[0])[0].lower() == made[0].name.lower():
        return Outcome(FAILED)
    assert search.node is not None
    head: tuple[Record, ...] = (rename,)
    if query.do:
        head += signatures(search.node, codes.DNAME)
    if query.type == codes.CNAME:
        authority = zone.apex(codes.NS, signed=query.do)
        return Outcome(SUCCESS, (*head, made[0]), authority)
    outcome = await _follow(zone, query, (made[0],))
    return outcome._replace(answer=(*head, *outcome.answer))


async def _at(zone: Zone, query: Query, node: Node, expanded: str | None) -> Outcome:
    """The answer of a node; `expanded` is the name that a wildcard stands in for."""
    kind, signed = query.type, query.do
    if codes.CNAME in node and kind != codes.CNAME:
        return await _follow(zone, query, _of(node, codes.CNAME, expanded, signed=signed))
    if kind not in node:
        denial = zone.apex(codes.SOA, signed=signed)
        if signed:
            denial += _of(node, codes.NSEC, None, signed=True)
        return Outcome(NO_DATA, (), denial)
    found = _of(node, kind, expanded, signed=signed)
    authority = zone.apex(codes.NS, signed=signed)
    if expanded is not None and signed:
        # Nothing closer than the wildcard exists, says the NSEC before the name.
        before = zone.before(expanded)
        if before is not None:
            authority += _of(before, codes.NSEC, None, signed=True)
    return Outcome(SUCCESS, found, authority, addresses(zone, found, signed=signed))


def _of(node: Node, kind: int, expanded: str | None, *, signed: bool) -> tuple[Record, ...]:
    """Records of a type with their signatures, under another name where a wildcard made them."""
    found = node.get(kind, ())
    if signed and found:
        found += signatures(node, kind)
    if expanded is None:
        return found
    return tuple(record._replace(name=expanded) for record in found)


async def _follow(zone: Zone, query: Query, chain: tuple[Record, ...]) -> Outcome:
    """Aliases to their end, in the zone as far as they stay in it."""
    signed, kind = query.do, query.type
    for _ in range(MAX_ALIASES + 1):
        last = [one for one in chain if one.type == codes.CNAME][-1]
        target = read_names(last)[0].lower()
        cut = _cut_above(zone, target, kind)
        if cut is not None:
            return _referral(zone, cut, signed=signed)._replace(answer=chain)
        node = zone.nodes.get(target)
        if node is None or kind == codes.NS or (kind == codes.SOA and target == zone.origin):
            return await _elsewhere(zone, query, chain, target)
        if codes.CNAME not in node:
            chain += _of(node, kind, None, signed=signed)
            break
        chain += _of(node, codes.CNAME, None, signed=signed)
    authority = zone.apex(codes.NS, signed=signed)
    return Outcome(SUCCESS, chain, authority, addresses(zone, chain, signed=signed))


def _cut_above(zone: Zone, name: str, kind: int) -> Node | None:
    if not names.is_below(name, zone.origin):
        return None
    return _walk(zone, name, kind).cut


async def _elsewhere(zone: Zone, query: Query, chain: tuple[Record, ...], target: str) -> Outcome:
    """The end of a chain that the zone does not hold itself."""
    asked = query.asking(target)._replace(depth=query.depth + 1)
    reply = await query.server.resolve(asked)
    kind = SUCCESS
    if reply.rcode == codes.NXDOMAIN:
        kind = NAME_ERROR
    elif reply.rcode == codes.SERVFAIL:
        kind = FAILED
    elif reply.rcode == codes.NOERROR and not reply.answer:
        kind = NO_DATA
    whole = (*chain, *reply.answer)
    negative = kind in (NAME_ERROR, NO_DATA)
    authority = zone.apex(codes.SOA if negative else codes.NS, signed=query.do)
    extra = addresses(zone, whole, signed=query.do)
    return Outcome(kind, whole, authority, extra, outside=True)


def _referral(zone: Zone, cut: Node, *, signed: bool) -> Outcome:
    servers = cut[codes.NS]
    extra = glue(zone, servers, signed=signed)
    if signed:
        servers += _of(cut, codes.DS, None, signed=True)
    return Outcome(DELEGATION, (), servers, extra)


def glue(zone: Zone, servers: tuple[Record, ...], *, signed: bool) -> tuple[Record, ...]:
    """The addresses of name servers that stand below the zone they serve, as far as they are known
    here: others can be found without that zone.
    """
    found: tuple[Record, ...] = ()
    for record in servers:
        target = read_names(record)[0].lower() if record.type == codes.NS else ""
        if target and names.is_below(target, record.name):
            node = zone.nodes.get(target, {})
            found += _of(node, codes.A, None, signed=signed)
            found += _of(node, codes.AAAA, None, signed=signed)
    return found


def addresses(zone: Zone, answer: tuple[Record, ...], *, signed: bool) -> tuple[Record, ...]:
    """The addresses of the targets of MX, SRV, SVCB and HTTPS records, each target once."""
    found: tuple[Record, ...] = ()
    seen: set[str] = set()
    for record in answer:
        target = _target(record).lower()
        if not target or target in seen or not names.is_below(target, zone.origin):
            continue
        seen.add(target)
        node = zone.nodes.get(target, {})
        found += _of(node, codes.A, None, signed=signed)
        found += _of(node, codes.AAAA, None, signed=signed)
    return found


def _target(record: Record) -> str:
    if record.type in (codes.MX, codes.SRV):
        return read_names(record)[0]
    if record.type in (64, 65):
        return names.read(record.rdata, 2)[0]
    return ""


def _closer_exists(zone: Zone, name: str, wildcard: str) -> bool:
    """Whether an empty name stands between the wildcard's parent and the name (RFC 4592)."""
    parent = wildcard[2:]
    name = names.parent(name)
    while name != parent and names.is_below(name, parent):
        if name in zone.above:
            return True
        name = names.parent(name)
    return False


def _denial(zone: Zone, name: str, *, signed: bool) -> Outcome:
    kind = SUCCESS if name in zone.above else NAME_ERROR
    authority = zone.apex(codes.SOA, signed=signed)
    if not signed:
        return Outcome(kind, (), authority)
    before = zone.before(name)
    if before is None:
        return Outcome(kind, (), authority)
    denial = _of(before, codes.NSEC, None, signed=True)
    if kind == NAME_ERROR:
        wild = zone.before("*." + _closest(zone, name))
        if wild is not None and wild is not before:
            denial += _of(wild, codes.NSEC, None, signed=True)
    return Outcome(kind, (), (*authority, *denial))


def _closest(zone: Zone, name: str) -> str:
    """The nearest ancestor that exists."""
    while name != zone.origin and name not in zone.nodes:
        name = names.parent(name)
    return name
