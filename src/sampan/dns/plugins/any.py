"""*any* answers ANY queries with next to nothing (RFC 8482)."""

from __future__ import annotations

from sampan.dns import codes
from sampan.dns.message import Record
from sampan.dns.plugin import FOREVER, Handler, Plugin, Query, Reply, Validity, reply_to
from sampan.dns.rdata import from_words
from sampan.dns.setup import Args

TTL = 8482


class Any(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    async def answer(self, query: Query, following: Handler) -> Reply:
        if query.type != codes.ANY:
            return await following(query)
        data = from_words(codes.HINFO, ['"ANY obsoleted"', '"See RFC 8482"'])
        record = Record(query.qname, codes.HINFO, codes.IN, TTL, data)
        reply = reply_to(query, aa=False)
        return reply._replace(answer=(record,), validity=Validity(until=FOREVER))


def setup(args: Args) -> Plugin:
    while args.next():
        args.nothing()
    return Any()
