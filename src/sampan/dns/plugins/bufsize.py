"""*bufsize* caps the size of datagrams, whatever a client says that it takes."""

from __future__ import annotations

from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args

DEFAULT = 1232
"""What fits everywhere without fragments (dnsflagday.net/2020)."""


class Bufsize(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self, size: int) -> None:
        self.size = size

    async def answer(self, query: Query, following: Handler) -> Reply:
        edns = query.edns
        if edns is None or edns.size <= self.size:
            return await following(query)
        capped = query.message._replace(edns=edns._replace(size=self.size))
        reply = await following(query._replace(message=capped))
        return reply._replace(limit=self.size)


def setup(args: Args) -> Plugin:
    size = DEFAULT
    for words in args.places():
        if words:
            size = _size(args, words)
    return Bufsize(size)


def _size(args: Args, words: list[str]) -> int:
    wrong = CorefileError(f"plugin/bufsize: {args.wrong_count()}")
    if len(words) > 1 or not words[0].isdigit():
        raise wrong
    size = int(words[0])
    if not 512 <= size <= 4096:
        raise wrong
    return size
