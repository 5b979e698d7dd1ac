"""HTTP as values: a request in, a response out, and a byte stream where a connection is upgraded.

Shared by servers (`std.httpd`) and clients; no sockets here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Stream(Protocol):
    """The raw connection after `101 Switching Protocols`."""

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting while the peer's window is full. Raises ConnectionError."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Where a pushed body goes; none of these ever waits."""

    def send(self, chunk: bytes) -> None: ...

    def waiting(self) -> int:
        """Bytes that the peer has not taken yet; whoever pushes decides when that is too much."""
        ...

    def end(self) -> None:
        """No more chunks; the answer is complete."""
        ...

    def abort(self) -> None:
        """Drop the connection: the peer must see that the answer is not complete."""
        ...


Detach = Callable[[], None]


class Feed:
    """A body whose maker pushes each chunk straight into the connection (a watch that a thousand
    clients share costs one write each, and no task wakes up).

    Anyone else, such as an in-process client, reads it as the async iterator that it also is.
    """

    def __init__(self, attach: Callable[[Sink], Detach]) -> None:
        self.attach = attach
        self._queue: _QueueSink | None = None
        self._detach: Detach | None = None

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> bytes:
        if self._queue is None:
            self._queue = _QueueSink()
            self._detach = self.attach(self._queue)
        chunk = await self._queue.chunks.get()
        if chunk is None:
            raise StopAsyncIteration
        self._queue.size -= len(chunk)
        return chunk

    async def aclose(self) -> None:
        if self._detach is not None:
            self._detach()


class _QueueSink:
    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.size = 0

    def send(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.chunks.put_nowait(chunk)

    def waiting(self) -> int:
        return self.size

    def end(self) -> None:
        self.chunks.put_nowait(None)

    def abort(self) -> None:
        self.chunks.put_nowait(None)


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is percent-decoded no further than it came; `query` is the raw string behind `?`."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; repeated ones joined by a comma."""
    body: bytes = b""
    peer: str = ""
    """The client's address, empty in-process."""
    certificate: bytes | None = None
    """The client certificate in DER that TLS verified, if any."""


@dataclass(slots=True)
class Response:
    """`body` is whole bytes, or an async iterator of chunks (sent as they come; a `Feed` is
    pushed); `upgrade` goes with status 101.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    upgrade: Callable[[Stream], Awaitable[None]] | None = None

    async def read(self) -> bytes:
        """The whole body, however it comes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"".join([chunk async for chunk in self.body])


Handler = Callable[[Request], Awaitable[Response]]
