"""UDP to one upstream: a few connected sockets, many queries on each, IDs at random.

A socket is used for some seconds and then replaced, so that source ports change as well; a reply
counts only when ID, question and peer agree.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from random import Random

from sampan.dns import codes
from sampan.dns.message import BadMessage, Message, parse
from sampan.dns.render import render
from sampan.std.clock import Clock

SOCKETS = 8
BATCH = 32
SIZE = 65535


class Failed(OSError):
    """The upstream did not answer; the text is Go's, since people's patterns are made for it."""


@dataclass(slots=True, eq=False)
class _Socket:
    sock: socket.socket
    born: float
    waiting: dict[int, tuple[Message, asyncio.Future[Message]]] = field(default_factory=dict)


class UdpPool:
    """`ask` raises Failed and TimeoutError."""

    def __init__(
        self, address: tuple[str, int], clock: Clock, chance: Random, source: str = ""
    ) -> None:
        self.address = address
        self.clock = clock
        self.chance = chance
        self.source = source
        self.expire_s = 10.0
        self._sockets: list[_Socket] = []
        self._turn = 0

    async def ask(self, message: Message, timeout_s: float) -> tuple[Message, bool]:
        """The reply, and whether the socket was there already."""
        one, kept = self._socket()
        ident = self._free_id(one)
        asked = message._replace(id=ident)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        one.waiting[ident] = (asked, reply)
        try:
            one.sock.send(render(asked))
            async with asyncio.timeout(timeout_s):
                return await reply, kept
        except TimeoutError:
            raise Failed(f"{self._ends(one)}: i/o timeout") from None
        except OSError as bad:
            if isinstance(bad, Failed):
                raise
            raise Failed(f"{self._ends(one)}: {(bad.strerror or str(bad)).lower()}") from bad
        finally:
            one.waiting.pop(ident, None)

    def _free_id(self, one: _Socket) -> int:
        while True:
            ident = self.chance.getrandbits(16)
            if ident not in one.waiting:
                return ident

    def _socket(self) -> tuple[_Socket, bool]:
        now = self.clock.monotonic()
        for one in [s for s in self._sockets if now - s.born > self.expire_s and not s.waiting]:
            self._drop(one)
        if len(self._sockets) < SOCKETS and (not self._sockets or self._busy()):
            return self._open(now), False
        self._turn = (self._turn + 1) % len(self._sockets)
        return self._sockets[self._turn], True

    def _busy(self) -> bool:
        return all(one.waiting for one in self._sockets)

    def _open(self, now: float) -> _Socket:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if self.source:
                sock.bind((self.source, 0))
            sock.connect(self.address)
        except OSError as bad:
            sock.close()
            raise Failed(f"dial udp {_joined(self.address)}: {bad.strerror}".lower()) from bad
        one = _Socket(sock, now)
        self._sockets.append(one)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable, one)
        return one

    def _readable(self, one: _Socket) -> None:
        for _ in range(BATCH):
            try:
                wire = one.sock.recv(SIZE)
            except BlockingIOError:
                return
            except OSError as bad:
                self._fail(one, bad)
                return
            self._take(one, wire)

    def _take(self, one: _Socket, wire: bytes) -> None:
        asked, reply = one.waiting.get(int.from_bytes(wire[:2]), (None, None))
        if asked is None or reply is None or reply.done():
            return
        found = _read(asked, wire)
        if found is not None and matches(asked, found):
            reply.set_result(found)

    def _fail(self, one: _Socket, bad: OSError) -> None:
        """An ICMP error says that nobody is there: everyone waiting hears it."""
        text = f"{self._ends(one)}: read: {(bad.strerror or str(bad)).lower()}"
        self._drop(one)
        for _, reply in list(one.waiting.values()):
            if not reply.done():
                reply.set_exception(Failed(text))

    def _ends(self, one: _Socket) -> str:
        try:
            here = _joined(one.sock.getsockname()[:2])
        except OSError:
            here = "?"
        return f"read udp {here}->{_joined(self.address)}"

    def _drop(self, one: _Socket) -> None:
        if one in self._sockets:
            self._sockets.remove(one)
            asyncio.get_running_loop().remove_reader(one.sock.fileno())
            one.sock.close()

    def close(self) -> None:
        for one in list(self._sockets):
            self._drop(one)


def _read(asked: Message, wire: bytes) -> Message | None:
    """The message; one that is longer than was asked for counts as cut off."""
    try:
        found = parse(wire)
    except BadMessage:
        return None
    if len(wire) <= max(512, asked.edns.size if asked.edns else 0):
        return found
    return found._replace(
        flags=found.flags | codes.TC, answer=(), authority=(), additional=(), edns=None
    )


def matches(asked: Message, found: Message) -> bool:
    """Whether a message answers this question; an error may come without one."""
    if not found.flags & 0x8000:
        return False
    if found.question is None:
        return found.rcode != 0
    assert asked.question is not None
    return (
        found.question.name.lower() == asked.question.name.lower()
        and found.question[1:] == asked.question[1:]
    )


def _joined(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"
