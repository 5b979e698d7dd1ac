"""The bytes of an HTTP answer, and what a handler holds of a connection: a sink or a raw stream."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from sampan.std.http import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RAW_BUFFER = 256 << 10
BODILESS = frozenset({204, 304})

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def now(self) -> bytes:
        second = int(time.time())
        if second != self.second:
            self.second = second
            self.line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self.line


_DATE = _Date()


def head_of(status: int, headers: dict[str, str], length: int | None, keep: bool) -> bytes:
    """Status line and headers; `length` None means chunked (or none at all, for 101)."""
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n".encode()
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if length is not None:
        text += f"content-length: {length}\r\n"
    elif status != 101:
        text += "transfer-encoding: chunked\r\n"
    if not keep:
        text += "connection: close\r\n"
    return line + _DATE.now() + text.encode("latin-1", "replace") + b"\r\n"


def whole(method: str, response: Response, body: bytes, keep: bool) -> bytes:
    """A complete answer in one piece, so that it leaves in one write."""
    if response.status in BODILESS:
        text = "".join([f"{name}: {value}\r\n" for name, value in response.headers.items()])
        text += "" if keep else "connection: close\r\n"
        line = _STATUS_LINES[response.status]
        return line + _DATE.now() + text.encode("latin-1", "replace") + b"\r\n"
    head = head_of(response.status, response.headers, len(body), keep)
    return head if method == "HEAD" else head + body


def chunk_of(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stalls(Protocol):
    stalled_since: float
    """When the peer stopped taking what was written; 0: it has not."""


class ConnectionSink:
    """A pushed body's way out: each chunk is written at once, nobody waits."""

    __slots__ = ("ended", "owner", "transport")

    def __init__(
        self, transport: asyncio.Transport, owner: Stalls, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.transport = transport
        self.owner = owner
        self.ended: asyncio.Future[None] = loop.create_future()

    def send(self, chunk: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def waiting(self) -> int:
        # Asking the transport costs as much as a small write; it tells when it is behind.
        return self.transport.get_write_buffer_size() if self.owner.stalled_since else 0

    def end(self) -> None:
        if not self.ended.done():
            self.transport.write(b"0\r\n\r\n")
            self.ended.set_result(None)

    def abort(self) -> None:
        self.transport.abort()
        if not self.ended.done():
            self.ended.set_result(None)


class Drains(Protocol):
    async def drain(self) -> None: ...


class RawStream:
    """An upgraded connection (`sampan.std.http.Stream`): reading is throttled by the reader."""

    def __init__(self, transport: asyncio.Transport, owner: Drains) -> None:
        self.transport = transport
        self.owner = owner
        self.buffer = bytearray()
        self.ended = False
        self.paused = False
        self.waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > RAW_BUFFER and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def read(self, limit: int = 65536) -> bytes:
        while not self.buffer and not self.ended:
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        data = bytes(self.buffer[:limit])
        del self.buffer[:limit]
        if self.paused and len(self.buffer) < RAW_BUFFER // 2:
            self.paused = False
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.transport.write(data)
        await self.owner.drain()

    def close(self) -> None:
        self.transport.close()
