"""*local* answers for `localhost` and its reverse zones, which no other server should see."""

from __future__ import annotations

from sampan.dns import codes, names
from sampan.dns.message import Record
from sampan.dns.plugin import FOREVER, Handler, Plugin, Query, Reply, Validity, reply_to
from sampan.dns.rdata import a_record, name_record, soa_record
from sampan.dns.setup import Args, World

TTL = 604800
ZONES = ("localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa.")
LOOPBACK = {codes.A: "127.0.0.1", codes.AAAA: "::1"}


class Local(Plugin):
    static = True
    keeps_ttls = True

    def __init__(self, world: World, prefix: bool) -> None:
        self.world = world
        self.prefix = prefix

    async def answer(self, query: Query, following: Handler) -> Reply:
        name = query.name
        prefixed = self.prefix and name.startswith("localhost.") and name != "localhost."
        if name.endswith(".localhost.") or prefixed:
            self.world.counters.local_requests.inc()
            return _loopback(query)
        zone = names.longest_zone(name, ZONES)
        if not zone:
            return await following(query)
        return _in_zone(query, query.qname[len(query.qname) - len(zone) :])


def _kept(query: Query, rcode: int = codes.NOERROR) -> Reply:
    return reply_to(query, aa=False, rcode=rcode)._replace(validity=Validity(until=FOREVER))


def _soa(name: str) -> Record:
    return soa_record(name, TTL, "localhost.", "root.localhost.", (1, 0, 0, 0, TTL))


def _loopback(query: Query) -> Reply:
    """Some search paths turn `localhost` into `localhost.example.org`."""
    if query.type in LOOPBACK:
        record = a_record(query.qname, TTL, LOOPBACK[query.type])
        return _kept(query)._replace(answer=(record,))
    return _kept(query)._replace(authority=(_soa(query.qname),))


def _in_zone(query: Query, zone: str) -> Reply:
    qname, kind = query.qname, query.type
    if query.name == "1.0.0.127.in-addr.arpa.":
        found = [name_record(qname, kind, TTL, "localhost.")] if kind == codes.PTR else []
        return _answered(query, found, zone)
    if query.name not in ZONES:
        return _kept(query, codes.NXDOMAIN)._replace(authority=(_soa(zone),))
    if kind in LOOPBACK and query.name == "localhost.":
        return _loopback(query)
    found = [_soa(qname)] if kind == codes.SOA else []
    if kind == codes.NS:
        found = [name_record(qname, kind, TTL, "localhost.")]
    return _answered(query, found, qname)


def _answered(query: Query, found: list[Record], zone: str) -> Reply:
    """The records, or that there are none of that type."""
    if found:
        return _kept(query)._replace(answer=tuple(found))
    return _kept(query)._replace(authority=(_soa(zone),))


def setup(args: Args) -> Plugin:
    prefix = True
    for words in args.places():
        if words:
            raise args.wrong_count()
        for name in args.properties():
            if name != "localhost_prefix":
                raise args.unknown()
            word = args.one()
            if word not in ("on", "off"):
                raise args.error(f"localhost_prefix expects 'on' or 'off', got \"{word}\"")
            prefix = word == "on"
    return Local(args.world, prefix)
