"""*dns64* makes IPv6 addresses for names that have only IPv4 ones (RFC 6147)."""

from __future__ import annotations

import ipaddress

from sampan.dns import codes
from sampan.dns.corefile import CorefileError
from sampan.dns.finish import answer_edns
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply, reply_to
from sampan.dns.setup import Args, World

UNKNOWN_SOA_TTL = 600
WELL_KNOWN = "64:ff9b::/96"


class Dns64(Plugin):
    def __init__(self, world: World) -> None:
        self.world = world
        self.prefix = ipaddress.IPv6Network(WELL_KNOWN)
        self.translate_all = False
        self.allow_ipv4 = False

    async def answer(self, query: Query, following: Handler) -> Reply:
        wanted = query.type == codes.AAAA and query.cls == codes.IN
        if not wanted or (query.client.family == 1 and not self.allow_ipv4):
            return await following(query)
        reply = await following(query)
        if not reply.made or not self._lacks(reply):
            return reply
        asked = query.asking(query.name, codes.A)._replace(depth=query.depth + 1)
        self.world.counters.dns64_translated.labels(query.server.name).inc()
        return self._made(query, reply, await query.server.resolve(asked))

    def _lacks(self, reply: Reply) -> bool:
        """Whether there is a name without usable addresses."""
        if reply.rcode == codes.NXDOMAIN and not reply.answer:
            return False
        return self.translate_all or all(r.type != codes.AAAA for r in reply.answer)

    def _made(self, query: Query, reply: Reply, found: Reply) -> Reply:
        soas = [record.ttl for record in reply.authority if record.type == codes.SOA]
        ceiling = soas[-1] if soas else UNKNOWN_SOA_TTL
        answer = tuple(self._translated(record, ceiling) for record in found.answer)
        made = reply_to(query, aa=False)
        return made._replace(
            answer=answer,
            authority=found.authority,
            additional=found.additional,
            edns=answer_edns(query.edns, found),
            asked=reply.asked,
            flags=made.flags | found.flags & codes.TC,
        )

    def _translated(self, record: Record, ceiling: int) -> Record:
        if record.type != codes.A:
            return record
        return record._replace(
            type=codes.AAAA,
            ttl=min(record.ttl, ceiling),
            rdata=embedded(self.prefix, record.rdata),
        )


def embedded(prefix: ipaddress.IPv6Network, address: bytes) -> bytes:
    """The IPv4 address in the prefix; byte 8 stays zero (RFC 6052 section 2.2)."""
    head = prefix.network_address.packed[: prefix.prefixlen // 8]
    body = head + address
    if len(head) <= 8:
        body = body[:8] + b"\0" + body[8:]
    return body.ljust(16, b"\0")


def setup(args: Args) -> Plugin:
    dns64 = Dns64(args.world)
    for words in args.places():
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            dns64.prefix = _prefix(args, words[0])
            _skip_block(dns64, args)
        for name in args.properties():
            if name == "prefix":
                dns64.prefix = _prefix(args, args.one())
            elif name == "translate_all":
                dns64.translate_all = True
            elif name == "allow_ipv4":
                dns64.allow_ipv4 = True
            else:
                raise args.unknown()
    return dns64


def _skip_block(dns64: Dns64, args: Args) -> None:
    """Upstream reads a block behind a prefix as so many more `dns64` lines."""
    for _ in args.properties():
        words = args.rest()
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            dns64.prefix = _prefix(args, words[0])


def _prefix(args: Args, word: str) -> ipaddress.IPv6Network:
    try:
        found = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise CorefileError(f"invalid CIDR address: {word}") from None
    if "/" not in word:
        raise CorefileError(f"invalid CIDR address: {word}")
    if not isinstance(found, ipaddress.IPv6Network):
        raise args.error(f'invalid netmask {found.max_prefixlen} IPv6 address: "{found}"')
    if found.prefixlen % 8 or not 32 <= found.prefixlen <= 96:
        raise args.error(f'invalid prefix length "{found}"')
    return found
