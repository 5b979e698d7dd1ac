"""From the bytes of a query to the bytes of its reply: admission, the fast path, the chain, the
finish.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sampan.dns import codes
from sampan.dns.fastpath import Memo
from sampan.dns.finish import (
    SQUEEZED_FOR_FOUR,
    SQUEEZED_FOR_SIX,
    bad_version,
    bare,
    finish,
    moving_part,
    rotated,
    screen,
)
from sampan.dns.message import BadMessage, parse
from sampan.dns.plugin import Client, Query, Reply, failure
from sampan.dns.render import render
from sampan.dns.server.routes import Routes
from sampan.linux.base.datagrams import Rows
from sampan.std.clock import Clock

MAX_ROTATIONS = 64
"""Larger sets are shuffled anew for every answer instead of being kept in every rotation."""
Panic = Callable[[Exception], None]


class Answerer:
    """One listening address. `routes` is swapped on a reload; the fast path is cleared then."""

    def __init__(self, routes: Routes, clock: Clock, chance: Random, panic: Panic) -> None:
        self.routes = routes
        self.clock = clock
        self.chance = chance
        self.panic = panic
        self.memo = Memo(chance=chance)
        self.tap: Callable[[bytes, str], None] | None = None
        """Sees every query with its client's address, while somebody wants to."""
        self.now = 0.0
        """The time of the batch that is being answered."""

    def swap(self, routes: Routes) -> None:
        self.memo.clear()
        self.routes = routes

    def use(self, rows: Rows | None) -> None:
        """Let a receive loop have the rows of the fast path, before anything was answered."""
        self.memo = Memo(loop=rows, chance=self.chance)

    def quick(self, wire: bytes) -> bytes | None:
        """The reply when it is at hand."""
        return self.memo.find(wire, self.now)

    def heard(self, wire: bytes, address: str, port: int) -> bytes | None:
        """The reply when it is at hand and somebody hears of it, who is told then."""
        memo = self.memo
        if not memo.heard and not memo.heard_families:
            return None
        reply = memo.find_heard(wire, address, port, self.now)
        if reply is not None and self.tap is not None:
            self.tap(wire, address)
        return reply

    async def full(self, wire: bytes, client: Client) -> list[bytes]:
        """The reply, through the chain: nothing, one message, or a zone transfer's many."""
        if self.tap is not None:
            self.tap(wire, client.address)
        query = self._read(wire, client)
        if isinstance(query, bytes):
            return [query] if query else []
        generation = self.memo.generation
        reply = await self._resolved(query)
        if reply.dropped:
            return []
        if reply.stream:
            return [finish(query, reply._replace(answer=part)) for part in reply.stream]
        return [self._kept(query, wire, reply, generation)]

    def _read(self, wire: bytes, client: Client) -> Query | bytes:
        """The query, or what to send in place of an answer."""
        refused = screen(wire)
        if refused is not None:
            return refused
        try:
            message = parse(wire)
        except BadMessage as bad:
            rcode = codes.SERVFAIL if bad.header_only else codes.FORMERR
            return bare(wire, rcode, question=bad.question)
        question = message.question
        if question is None:
            return bare(wire, codes.SERVFAIL)
        if message.edns is not None and message.edns.version != 0:
            return render(bad_version(message))
        return Query(
            message, question.name.lower(), question.type, question.cls, client, self.routes,
            wire=wire,
        )  # fmt: skip

    async def _resolved(self, query: Query) -> Reply:
        try:
            return await self.routes.resolve(query)
        except Exception as bad:  # noqa: BLE001 - one query must not end the server
            self.panic(bad)
            return failure(codes.SERVFAIL)

    def _kept(self, query: Query, wire: bytes, reply: Reply, generation: int) -> bytes:
        """The finished reply; the fast path keeps it where it may."""
        moving = moving_part(reply) if reply.rotates else []
        if moving:
            self.chance.shuffle(moving)
            reply = rotated(reply, moving, 0)
        done = finish(query, reply)
        if (
            reply.validity is not None
            and generation == self.memo.generation
            and self.routes.static
            and query.client.proto == "udp"
            and len(moving) <= MAX_ROTATIONS
            and not SQUEEZED_FOR_SIX < len(done) <= SQUEEZED_FOR_FOUR
        ):
            rotation = None
            if moving:
                rotation = (
                    len(moving),
                    lambda turn: finish(query, rotated(reply, moving, turn))[2:],
                )
            self.memo.keep(wire, done, reply.validity, reply.counts, rotation, reply.hears)
        return done
