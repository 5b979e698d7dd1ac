"""*metadata* collects facts about a query that plugins know, for *log*, *template* and *view*."""

from __future__ import annotations

from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args


class Metadata(Plugin):
    """The facts are collected where a query meets its block; here they are only wished for."""

    async def answer(self, query: Query, following: Handler) -> Reply:
        return await following(query)


def setup(args: Args) -> Plugin:
    args.next()
    args.block.facts = args.zones(args.rest())
    if args.in_block() or args.next():
        raise args.wrong_count()
    return Metadata()
