"""One question to one server over a datagram of its own: for probes, not for traffic."""

from __future__ import annotations

import asyncio
import socket

from sampan.dns.message import Message, parse
from sampan.dns.render import render


async def ask(message: Message, host: str, port: int, *, timeout_s: float) -> Message:
    """The reply. Raises OSError, TimeoutError and BadMessage."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _One(message.id, reply), remote_addr=(host, port)
    )
    try:
        async with asyncio.timeout(timeout_s):
            transport.sendto(render(message))
            return parse(await reply)
    finally:
        transport.close()


def ask_blocking(message: Message, host: str, port: int, *, timeout_s: float) -> Message:
    """The reply, before there is a loop. Raises OSError and BadMessage."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect((host, port))
        sock.send(render(message))
        return parse(sock.recv(65535))


class _One(asyncio.DatagramProtocol):
    def __init__(self, ident: int, reply: asyncio.Future[bytes]) -> None:
        self.ident = ident
        self.reply = reply

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.reply.done() and int.from_bytes(data[:2]) == self.ident:
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)
