"""*minimal* leaves out what was not asked for: authority and additional records."""

from __future__ import annotations

from sampan.dns.classify import SUCCESS, kind_of
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args


class Minimal(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    async def answer(self, query: Query, following: Handler) -> Reply:
        reply = await following(query)
        if not reply.made or reply.error or kind_of(query, reply) != SUCCESS:
            return reply
        return reply._replace(authority=(), additional=(), edns=None)


def setup(args: Args) -> Plugin:
    while args.next():
        args.nothing()
    return Minimal()
