"""*forward* asks other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sampan.dns import codes
from sampan.dns.message import Message
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure
from sampan.dns.setup import Args, World
from sampan.dns.upstream.datagrams import Failed, matches
from sampan.dns.upstream.line import Line, Rules
from sampan.dns.upstream.upstream import Upstream

PATIENCE_S = 5.0


class Forward(Plugin):
    """One `forward` line. `further` is the next one of the block, for `next`."""

    static = True
    name = "forward"

    def __init__(self, world: World, rules: Rules, upstreams: list[Upstream]) -> None:
        self.world = world
        self.rules = rules
        self.upstreams = upstreams
        self.further: Forward | None = None
        self.from_resolv_conf = False
        self.running = 0
        self._turn = 0
        self._pending: dict[tuple[Any, ...], asyncio.Task[Reply]] = {}

    async def answer(self, query: Query, following: Handler) -> Reply:
        if not self.rules.matches(query.name):
            return await following(query)
        limit = self.rules.max_concurrent
        if limit and self.running >= limit:
            self.world.counters.forward_rejects.inc()
            return failure(codes.REFUSED, f"concurrent queries exceeded maximum {limit}")
        self.running += 1
        try:
            reply = await self._shared(query)
        finally:
            self.running -= 1
        if self._is_next(reply):
            return await following(query)
        return reply

    def _is_next(self, reply: Reply) -> bool:
        """Whether the next *forward* of this block is to be asked instead."""
        if self.further is None or not reply.made:
            return False
        if reply.rcode in self.rules.next_rcodes:
            return True
        return self.rules.next_on_nodata and not reply.rcode and not reply.answer

    async def _shared(self, query: Query) -> Reply:
        """Equal questions that are under way together are asked once."""
        message = query.message
        # *loop* counts its probe's round trips; metadata tells each query who was asked for it.
        if query.type == codes.HINFO or query.metadata is not None:
            return await self._ask(query)
        key = (message.question, message.flags, message.edns, query.client.proto)
        task = self._pending.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(query))
            self._pending[key] = task
            task.add_done_callback(lambda _: self._pending.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, query: Query) -> Reply:
        """Try upstreams in turn until one answers or the time is over."""
        rules, clock = self.rules, self.world.clock
        order = self._ordered()
        until = clock.monotonic() + PATIENCE_S
        attempts = 2 * len(order) if rules.attempts is None else rules.attempts
        tried = failovers = 0
        error = ""
        turns = self._turns(order)
        while clock.monotonic() < until and (not attempts or tried < attempts):
            upstream = next(turns, None)
            if upstream is None:
                break
            if query.metadata is not None:
                query.metadata["forward/upstream"] = upstream.target.__str__
            try:
                found = await self._from(upstream, query)
            except Failed as bad:
                error = str(bad)
                tried += 1
                if rules.max_fails:
                    upstream.suspect()
                continue
            if found.rcode in rules.failover and failovers + 1 < len(order):
                failovers += 1
                continue
            if not matches(query.message, found):
                return Reply(codes.FORMERR, flags=codes.QR | query.message.flags & codes.RD)
            return _reply(found)
        return failure(codes.SERVFAIL, error or "no healthy proxies")

    def _turns(self, order: list[Upstream]) -> Iterator[Upstream]:
        """Those that are well, round and round; when none is, any: rather the probes are wrong
        than the whole world.
        """
        while order:
            well = [one for one in order if not one.is_down(self.rules.max_fails)]
            yield from well
            if not well:
                self.world.counters.forward_broken.inc()
                if self.rules.fail_fast:
                    return
                yield self.world.chance.choice(self.upstreams)

    async def _from(self, upstream: Upstream, query: Query) -> Message:
        rules = self.rules
        proto = query.client.proto
        if rules.force_tcp:
            proto = "tcp"
        elif rules.prefer_udp:
            proto = "udp"
        found = await upstream.ask(query.message, proto)
        if found.flags & codes.TC and rules.prefer_udp and proto == "udp":
            found = await upstream.ask(query.message, "tcp")
        return found

    def _ordered(self) -> list[Upstream]:
        count = len(self.upstreams)
        if count < 2 or self.rules.policy == "sequential":
            return self.upstreams
        if self.rules.policy == "round_robin":
            self._turn = (self._turn + 1) % count
            return [*self.upstreams[self._turn :], *self.upstreams[: self._turn]]
        return self.world.chance.sample(self.upstreams, count)

    async def stop(self) -> None:
        for upstream in self.upstreams:
            await upstream.close()


def _reply(found: Message) -> Reply:
    return Reply(
        found.rcode, found.answer, found.authority, found.additional, found.flags, found.edns
    )


class Forwards(Plugin):
    """All `forward` lines of a block, each with its own names."""

    name = "forward"

    def __init__(self, lines: list[Forward]) -> None:
        self.lines = lines
        self.from_resolv_conf = any(line.from_resolv_conf for line in lines)
        for line, further in pairwise(lines):
            line.further = further

    def parts(self) -> tuple[Plugin, ...]:
        return tuple(self.lines)


def setup(args: Args) -> Plugin:
    # Queries of other classes may have an upstream that knows them.
    args.block.chaos = True
    lines = []
    while args.next():
        line = Line(args)
        forward = Forward(args.world, line.rules, line.read())
        forward.from_resolv_conf = line.from_resolv_conf
        lines.append(forward)
    return Forwards(lines)
