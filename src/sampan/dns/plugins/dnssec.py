"""*dnssec* signs replies as they pass, and denies with NSEC records made for the moment."""

from __future__ import annotations

import struct

from sampan.dns import codes, names
from sampan.dns.arguments import ONCE, whole_number
from sampan.dns.classify import DELEGATION, NODATA, NXDOMAIN, kind_of
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply, reply_to
from sampan.dns.rdata import bitmap_wire
from sampan.dns.setup import Args, World
from sampan.dns.signing import BadKey, Key, load, sets, sign

DAY_S = 86400
EARLY_S, VALID_S, RENEW_S = 3 * 3600, 8 * DAY_S, 2 * DAY_S
ORIGINAL_TTL = 3600
"""What signatures name as their records' TTL, whatever that is, as upstream's do."""
CUT = (1, 2, 13, 16, 28, 29, 33, 37, 44, 46, 47, 52, 55, 61, 99)
PLAIN = tuple(kind for kind in CUT if kind != codes.NS)
APEX = (1, 2, 6, 13, 15, 16, 28, 29, 33, 37, 44, 46, 47, 48, 52, 55, 61, 99)
"""The types that an NSEC says to exist, so that it denies no more than what was asked."""


class Dnssec(Plugin):
    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: tuple[str, ...] = (".",)
        self.keys: list[Key] = []
        self.capacity = 10000
        self._signed: dict[tuple[Record, ...], tuple[float, tuple[Record, ...]]] = {}

    async def answer(self, query: Query, following: Handler) -> Reply:
        zone = names.longest_zone(query.name, self.zones)
        if not zone:
            return await following(query)
        if query.type == codes.DNSKEY and query.name in self.zones:
            return self._own_keys(query, zone)
        reply = await following(query)
        return self._sign(query, reply, zone) if query.do and reply.made else reply

    def _own_keys(self, query: Query, zone: str) -> Reply:
        records = tuple(key.record._replace(name=query.name) for key in self.keys)
        if query.do:
            signed = self._signatures(list(records), zone)
            records += tuple(one._replace(ttl=ORIGINAL_TTL) for one in signed)
        return reply_to(query)._replace(answer=records)

    def _sign(self, query: Query, reply: Reply, zone: str) -> Reply:
        kind = kind_of(query, reply)
        if kind == DELEGATION:
            return self._referral(query, reply, zone)
        if kind in (NXDOMAIN, NODATA):
            return self._denial(query, reply, zone, kind)
        sections = (reply.answer, reply.authority, reply.additional)
        answer, authority, additional = (self._section(section) for section in sections)
        return reply._replace(answer=answer, authority=authority, additional=additional)

    def _section(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        found = records
        for group in sets(records):
            signer = names.longest_zone(group[0].name.lower(), self.zones)
            if signer:
                found += self._signatures(group, signer)
        return found

    def _referral(self, query: Query, reply: Reply, zone: str) -> Reply:
        """The DS records of the child, or that it has none."""
        ttl = reply.authority[0].ttl
        delegated = [record for record in reply.authority if record.type == codes.DS]
        more = (
            self._signatures(delegated, zone)
            if delegated
            else self._nsec(query, zone, ttl, CUT, cut=True)
        )
        return reply._replace(authority=(*reply.authority, *more))

    def _denial(self, query: Query, reply: Reply, zone: str, kind: str) -> Reply:
        """Nothing of that type here: a name that does not exist becomes an empty one."""
        if len(reply.authority) != 1 or reply.authority[0].type != codes.SOA:
            return reply
        soa = reply.authority[0]
        types = APEX if query.name == zone else CUT if query.type == codes.DS else PLAIN
        if query.type != codes.NSEC:
            types = tuple(kind for kind in types if kind != query.type)
        nsec = self._nsec(query, zone, soa.ttl, types)
        if query.type == codes.NSEC:
            # Of several keys' signatures the last one, as upstream.
            return reply._replace(rcode=codes.NOERROR, answer=nsec[-2:], authority=())
        authority = (soa, *self._signatures([soa], zone), *nsec)
        return reply._replace(rcode=codes.NOERROR, authority=authority)

    def _nsec(
        self, query: Query, zone: str, ttl: int, types: tuple[int, ...], *, cut: bool = False
    ) -> tuple[Record, ...]:
        name = query.qname
        if cut:
            label, _, rest = name.partition(".")
            following = names.wire(f"{label}\\000.{rest}")
        else:
            following = b"\1\0" + names.wire(name)
        data = following + bitmap_wire(types)
        record = Record(name, codes.NSEC, codes.IN, ttl, data)
        return (*self._signatures([record], zone), record)

    def _signatures(self, group: list[Record], signer: str) -> tuple[Record, ...]:
        """Signatures are kept until a quarter of their time is left."""
        now, key = self.world.clock.now(), tuple(group)
        until, found = self._signed.get(key, (0.0, ()))
        if until - now > RENEW_S:
            return found
        period = (int(now - EARLY_S), int(now + VALID_S))
        chosen = self._keys_for(group[0].type)
        found = tuple(sign(group, one, signer, period, ORIGINAL_TTL) for one in chosen)
        if len(self._signed) >= self.capacity:
            self._signed.clear()
        self._signed[key] = (now + VALID_S, found)
        return found

    def _keys_for(self, kind: int) -> list[Key]:
        """With both sorts of key, the entry point signs the keys and nothing else."""
        entry = [key for key in self.keys if key.is_entry_point]
        zone = [key for key in self.keys if key.is_zone_key and not key.is_entry_point]
        if not entry or not zone:
            return self.keys
        return entry if kind == codes.DNSKEY else zone


def setup(args: Args) -> Plugin:
    dnssec = Dnssec(args.world)
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        dnssec.zones = args.zones(words)
        for name in args.properties():
            if name == "key":
                dnssec.keys += _keys(args)
            elif name == "cache_capacity":
                dnssec.capacity = whole_number(args.one())
            else:
                raise args.unknown()
    for key in dnssec.keys:
        owner = key.record.name.lower()
        if not any(names.is_below(zone, owner) for zone in dnssec.zones):
            raise CorefileError(f"key {owner} (keyid: {key.tag}) can not sign any of the zones")
    return dnssec


def _keys(args: Args) -> list[Key]:
    if args.taken() != "file":
        return []
    try:
        return [load(args.path(word)) for word in args.some()]
    except OSError as bad:
        raise CorefileError(f"open {bad.filename}: {(bad.strerror or '').lower()}") from bad
    except (BadKey, struct.error) as bad:
        raise CorefileError(str(bad)) from bad
