"""The transport contract: one request in, one response with a streaming body out."""

from __future__ import annotations

from typing import Protocol

from sampan.std.http import Request, Response

__all__ = ["Request", "Response", "Transport", "Unreachable"]


class Unreachable(Exception):
    """Nobody answered; the message says where and why."""


class Transport(Protocol):
    """`http` for any server, `inproc` for components beside ours; the same authentication
    either way.
    """

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        """Send and await the response's head.

        `timeout_s` bounds the head, not a streamed body. Raises Unreachable.
        """
        ...

    async def close(self) -> None: ...
