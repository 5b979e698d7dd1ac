"""The transport contract: one request in, one response with a streaming body out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as far as the API cares. `path` is decoded no further than it came;
    `query` is the raw string.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """`body` is whole bytes, or an async iterator of chunks for watches and logs; close it
    when done.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""

    async def read(self) -> bytes:
        """The whole body, however it comes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"".join([chunk async for chunk in self.body])


class Unreachable(Exception):
    """Nobody answered; the message says where and why."""


class Transport(Protocol):
    """`http` for any server, `inproc` for components beside ours; the same authentication
    either way.
    """

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        """Send and await the response's head. `timeout_s` bounds the head, not a streamed
        body. Raises Unreachable.
        """
        ...

    async def close(self) -> None: ...
