"""*nsid* names the server in replies to clients that ask for it (RFC 5001)."""

from __future__ import annotations

import socket

from sampan.dns import codes
from sampan.dns.arguments import ONCE
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Edns
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args

NSID = 3


class Nsid(Plugin):
    def __init__(self, data: bytes) -> None:
        self.data = data
        # Only queries with the option differ, and their bytes are keys of their own.
        self.static = True
        self.nameless = self.keeps_ttls = True

    async def answer(self, query: Query, following: Handler) -> Reply:
        reply = await following(query)
        edns = query.edns
        if edns is None or not reply.made or all(code != NSID for code, _ in edns.options):
            return reply
        others = reply.edns.options if reply.edns else ()
        kept = tuple(option for option in others if option[0] != NSID)
        flags = reply.edns.flags if reply.edns else codes.DO
        return reply._replace(edns=Edns(edns.size, flags, 0, (*kept, (NSID, self.data))))


def setup(args: Args) -> Plugin:
    name = socket.gethostname()
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if words:
            name = " ".join(words)
    return Nsid(name.encode())
