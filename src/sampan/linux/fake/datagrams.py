"""Datagrams in memory: tests put queries in and read replies out."""

from __future__ import annotations

from sampan.linux.base.datagrams import BATCH, NOTHING_AT_HAND, AtHand, Fast, Peer, Rows, Slow


class FakeDatagrams:
    """`arrive` queues a datagram; `sent` holds what was answered, with its peer."""

    rows: Rows | None = None

    def __init__(self, host: str = "", port: int = 53) -> None:
        self.host = host
        self.port = port
        self.waiting: list[tuple[bytes, Peer]] = []
        self.sent: list[tuple[bytes, Peer]] = []
        self.closed = False

    def fileno(self) -> int:
        return -1

    def arrive(self, wire: bytes, peer: Peer | None = None) -> None:
        self.waiting.append((wire, peer or Peer("127.0.0.1", 4000, "127.0.0.1", self.port)))

    def drain(
        self, fast: Fast, slow: Slow, now: float = 0.0, at_hand: AtHand = NOTHING_AT_HAND
    ) -> int:
        batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
        for wire, peer in batch:
            reply = fast(wire)
            if reply is None:
                slow(wire, peer)
            else:
                self.send(reply, peer)
        return len(batch)

    def send(self, wire: bytes, peer: Peer) -> None:
        self.sent.append((wire, peer))

    def close(self) -> None:
        self.closed = True
