"""HTTP as values: a request in, a response out, and a byte stream where a connection is upgraded.

Shared by servers (`std.httpd`) and clients; no sockets here.
"""

from __future__ import annotations

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
    """`body` is whole bytes, or an async iterator of chunks (sent as they come); `upgrade`
    goes with status 101.
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
