"""Datagrams on the event loop: drained in batches, what the fast path knows answered at once."""

from __future__ import annotations

import asyncio

from sampan.dns.plugin import Client
from sampan.dns.server.answer import Answerer
from sampan.dns.server.prompt import Done, Waiting, begin
from sampan.linux.base.datagrams import (
    BATCH,
    NOTHING_AT_HAND,
    AtHand,
    Datagrams,
    Fast,
    Peer,
)

MAX_PENDING = 4096
"""Queries that wait for the chain at a time; beyond it new ones are dropped, as a full socket
buffer would, so that an overload costs answers and not memory."""
ROUNDS = 4


class UdpListener:
    """One socket. The answerer's `quick` is asked first; the rest become tasks."""

    def __init__(self, datagrams: Datagrams, answerer: Answerer) -> None:
        self.datagrams = datagrams
        self.answerer = answerer
        self.pending: set[asyncio.Task[None]] = set()
        self.shed = 0
        self.max_pending = MAX_PENDING
        self._monotonic = answerer.clock.monotonic
        answerer.use(datagrams.rows)

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self.datagrams.fileno(), self._readable)

    def _readable(self) -> None:
        answerer, memo, monotonic = self.answerer, self.answerer.memo, self._monotonic
        # The fast path does not know who asks; while somebody wants to know, it is asked later.
        fast: Fast = memo.find
        at_hand: AtHand = (memo.at_hand.firm, memo.at_hand.dated)
        later, rows = self._later, self.datagrams.rows
        if answerer.tap is not None:
            fast, later, at_hand = _nothing, self._tapped, NOTHING_AT_HAND
        if rows is not None:
            rows.closed = answerer.tap is not None
        for _ in range(ROUNDS):
            answerer.now = memo.now = monotonic()
            count = self.datagrams.drain(fast, later, answerer.now, at_hand)
            memo.spent_s += monotonic() - answerer.now
            memo.asked += count
            if count < BATCH:
                break

    def _later(self, wire: bytes, peer: Peer) -> bytes | None:
        """The reply where the chain has one without waiting; else it is sent when it is there."""
        if len(self.pending) >= self.max_pending:
            self.shed += 1
            return None
        address, port, local, local_port, _ = peer
        try:
            known = self.answerer.heard(wire, address, port)
            if known is not None:
                return known
            client = Client(address, port, local, local_port, "udp")
            begun = begin(self.answerer.full(wire, client))
        except Exception as bad:  # noqa: BLE001 - one query must not end the batch
            self.answerer.panic(bad)
            return None
        if isinstance(begun, Done):
            replies: list[bytes] = begun.result
            if len(replies) == 1:
                return replies[0]
            self._send(replies, peer)
            return None
        task = asyncio.get_running_loop().create_task(self._finish(begun, peer))
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)
        return None

    def _tapped(self, wire: bytes, peer: Peer) -> bytes | None:
        reply = self.answerer.quick(wire)
        if reply is None:
            return self._later(wire, peer)
        if self.answerer.tap is not None:
            self.answerer.tap(wire, peer.address)
        return reply

    async def _finish(self, begun: Waiting[list[bytes]], peer: Peer) -> None:
        self._send(await begun.rest, peer)

    def _send(self, replies: list[bytes], peer: Peer) -> None:
        for reply in replies:
            self.datagrams.send(reply, peer)

    async def close(self, grace_s: float = 5.0) -> None:
        """Answer what waits already, then let go of the socket."""
        self._readable()
        asyncio.get_running_loop().remove_reader(self.datagrams.fileno())
        if self.pending:
            await asyncio.wait(self.pending, timeout=grace_s)
        for task in self.pending:
            task.cancel()
        self.datagrams.close()


def _nothing(wire: bytes) -> bytes | None:
    return None
