"""*chaos* tells version, authors and host name to those who ask in class CH."""

from __future__ import annotations

import socket

from sampan.dns import codes
from sampan.dns.plugin import Handler, Plugin, Query, Reply, reply_to
from sampan.dns.rdata import txt_record
from sampan.dns.setup import Args, World

LONGEST = 255


class Chaos(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self, world: World, version: str, authors: list[str]) -> None:
        self.world = world
        self.version = version
        self.authors = authors

    async def answer(self, query: Query, following: Handler) -> Reply:
        texts = self._texts(query.name)
        if query.cls != codes.CHAOS or query.type != codes.TXT or not texts:
            return await following(query)
        records = (txt_record(query.qname, 0, text, cls=codes.CHAOS) for text in texts)
        return reply_to(query, aa=False)._replace(answer=tuple(records))

    def _texts(self, name: str) -> list[str]:
        if name in ("version.bind.", "version.server."):
            return [self.version]
        if name in ("hostname.bind.", "id.server."):
            return [socket.gethostname()[:LONGEST]]
        if name == "authors.bind.":
            return self.world.chance.sample(self.authors, len(self.authors))
        return []


def setup(args: Args) -> Plugin:
    args.block.chaos = True
    version, authors = f"Sampan-{args.world.version}", ["the Sampan authors"]
    for words in args.places():
        if words:
            version = words[0][:LONGEST]
        if len(words) > 1:
            authors = sorted({word[:LONGEST] for word in words[1:]})
        for _ in args.properties():
            raise args.unknown()
    return Chaos(args.world, version, authors)
