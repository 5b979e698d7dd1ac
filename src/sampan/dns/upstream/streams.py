"""TCP and TLS to one upstream: connections that are kept, several queries at a time on each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from random import Random

from sampan.dns.message import BadMessage, Message, parse
from sampan.dns.render import render
from sampan.dns.upstream.datagrams import Failed, matches
from sampan.std.clock import Clock

CONNECTIONS = 4
SHARE = 64
"""Queries that one connection carries at a time before another is opened."""


class Closed(Failed):
    """A kept connection turned out to be closed; the query may be sent again."""


class StreamPool:
    """`ask` raises Failed, Closed and TimeoutError."""

    def __init__(
        self,
        address: tuple[str, int],
        clock: Clock,
        chance: Random,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        source: str = "",
    ) -> None:
        self.address = address
        self.clock = clock
        self.chance = chance
        self.tls = tls
        self.server_name = server_name
        self.source = source
        self.expire_s = 10.0
        self.max_age_s = 0.0
        self._connections: list[_Connection] = []

    async def ask(self, message: Message, timeout_s: float) -> tuple[Message, bool]:
        """The reply, and whether the connection was there already."""
        try:
            async with asyncio.timeout(timeout_s):
                connection, kept = await self._connection()
                try:
                    return await connection.ask(message), kept
                except Closed:
                    if not kept:
                        raise
                connection, kept = await self._connect(), False
                return await connection.ask(message), kept
        except TimeoutError:
            raise Failed(f"read tcp {_joined(self.address)}: i/o timeout") from None

    async def _connection(self) -> tuple[_Connection, bool]:
        now = self.clock.monotonic()
        for one in list(self._connections):
            old = self.max_age_s and now - one.born > self.max_age_s
            if one.closed or (not one.waiting and (old or now - one.used > self.expire_s)):
                self._drop(one)
        free = [one for one in self._connections if len(one.waiting) < SHARE]
        if free:
            free[0].used = now
            return free[0], True
        return await self._connect(), False

    async def _connect(self) -> _Connection:
        host, port = self.address
        local = (self.source, 0) if self.source else None
        name = (self.server_name or host) if self.tls else None
        try:
            reader, writer = await asyncio.open_connection(
                host, port, ssl=self.tls, server_hostname=name, local_addr=local
            )
        except (OSError, ssl.SSLError) as bad:
            # asyncio's own words would hide what the kernel said.
            number = bad.errno if bad.errno and bad.errno > 0 else 0
            why = (os.strerror(number) if number else str(bad)).lower()
            raise Failed(f"dial tcp {_joined(self.address)}: connect: {why}") from bad
        connection = _Connection(reader, writer, self.chance, self.clock.monotonic())
        if len(self._connections) >= CONNECTIONS:
            self._drop(self._connections[0])
        self._connections.append(connection)
        return connection

    def _drop(self, one: _Connection) -> None:
        self._connections.remove(one)
        one.close()

    def close(self) -> None:
        for one in list(self._connections):
            self._drop(one)


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        chance: Random,
        now: float,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.chance = chance
        self.born = self.used = now
        self.waiting: dict[int, tuple[Message, asyncio.Future[Message]]] = {}
        self.closed = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def ask(self, message: Message) -> Message:
        ident = self.chance.getrandbits(16)
        while ident in self.waiting:
            ident = self.chance.getrandbits(16)
        asked = message._replace(id=ident)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.waiting[ident] = (asked, reply)
        try:
            wire = render(asked)
            self.writer.write(len(wire).to_bytes(2) + wire)
            if self.closed:
                raise Closed("cached connection was closed by peer")
            return await reply
        finally:
            self.waiting.pop(ident, None)

    async def _read(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self.reader.readexactly(2))
                self._take(await self.reader.readexactly(size))
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            self.closed = True
            for _, reply in list(self.waiting.values()):
                if not reply.done():
                    reply.set_exception(Closed("cached connection was closed by peer"))

    def _take(self, wire: bytes) -> None:
        try:
            found = parse(wire)
        except BadMessage:
            return
        asked, reply = self.waiting.get(found.id, (None, None))
        if asked is not None and reply is not None and not reply.done() and matches(asked, found):
            reply.set_result(found)

    def close(self) -> None:
        self.closed = True
        self._task.cancel()
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.close()


def _joined(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"
