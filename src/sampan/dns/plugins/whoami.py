"""*whoami* answers with the address and port of whoever asks."""

from __future__ import annotations

from sampan.dns.plugin import Handler, Plugin, Query, Reply, reply_to
from sampan.dns.rdata import a_record, srv_record
from sampan.dns.setup import Args


class Whoami(Plugin):
    async def answer(self, query: Query, following: Handler) -> Reply:
        client, name = query.client, query.qname
        own = f"_{client.proto}." if name == "." else f"_{client.proto}.{name}"
        records = (
            a_record(name, 0, client.address)._replace(cls=query.cls),
            srv_record(own, 0, (0, 0, client.port), ".")._replace(cls=query.cls),
        )
        return reply_to(query)._replace(additional=records)


def setup(args: Args) -> Plugin:
    while args.next():
        args.nothing()
    return Whoami()
