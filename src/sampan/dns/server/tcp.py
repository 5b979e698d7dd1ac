"""DNS over TCP and over TLS: messages with a length in front, several on one connection, answered
as they are ready (RFC 7766).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass

from sampan.dns.plugin import Client
from sampan.dns.server.answer import Answerer

MAX_CONNECTIONS = 2048
MAX_UNANSWERED = 64
"""Queries of one connection that are being answered at a time; the next are read later."""
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to wait for the first and for later messages; messages per connection."""

    read_s: float = 3.0
    idle_s: float = 10.0
    write_s: float = 5.0
    queries: int = 128
    """-1 = without end."""


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that others may share; an empty host is every address of both families.

    Raises OSError.
    """
    if not host:
        with contextlib.suppress(OSError):
            return _listening(socket.AF_INET6, "::", port)
        return _listening(socket.AF_INET, "0.0.0.0", port)
    return _listening(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class TcpListener:
    """One listening socket, with TLS where a context is given."""

    def __init__(
        self,
        sock: socket.socket,
        answerer: Answerer,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.sock = sock
        self.answerer = answerer
        self.limits = limits
        self.tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accepted, sock=self.sock, ssl=self.tls, backlog=BACKLOG
        )

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Connection(self.answerer, self.limits, reader, writer).run()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the peer went away or was too slow; nobody is left to be told
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def close(self, grace_s: float = 1.0) -> None:
        """Accept no more; answers under way get `grace_s`."""
        if self._server is not None:
            self._server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=grace_s)
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=1)


class _Connection:
    def __init__(
        self,
        answerer: Answerer,
        limits: Limits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.answerer = answerer
        self.limits = limits
        self.reader = reader
        self.writer = writer
        address, port = writer.get_extra_info("peername")[:2]
        local, local_port = writer.get_extra_info("sockname")[:2]
        self.client = Client(_plain(address), port, _plain(local), local_port, "tcp")
        self.room = asyncio.Semaphore(MAX_UNANSWERED)

    async def run(self) -> None:
        """Read until the peer ends it, is silent, or has asked its share."""
        async with asyncio.TaskGroup() as group:
            asked, wait_s = 0, self.limits.read_s
            while self.limits.queries < 0 or asked < self.limits.queries:
                try:
                    async with asyncio.timeout(wait_s):
                        size = int.from_bytes(await self.reader.readexactly(2))
                        wire = await self.reader.readexactly(size)
                except (TimeoutError, asyncio.IncompleteReadError):
                    break
                asked, wait_s = asked + 1, self.limits.idle_s
                await self.room.acquire()
                group.create_task(self._answer(wire)).add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.room.release()

    async def _answer(self, wire: bytes) -> None:
        for reply in await self.answerer.full(wire, self.client):
            self.writer.write(len(reply).to_bytes(2) + reply)
            async with asyncio.timeout(self.limits.write_s):
                await self.writer.drain()


def _plain(text: str) -> str:
    return text.removeprefix("::ffff:") if "." in text else text
