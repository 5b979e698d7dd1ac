"""The in-process transport: calls a server's handler directly, with the same authentication,
authorization and admission as over HTTPS; only the sockets are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sampan.client.transport import Unreachable
from sampan.std.http import Handler, Request, Response


class InProcTransport:
    """`headers` go with every request: the identity of the component, as a bearer token."""

    def __init__(self, handler: Handler, headers: Mapping[str, str] | None = None) -> None:
        self._handler = handler
        self._headers = dict(headers or {})

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        headers = {**self._headers, **request.headers}
        full = Request(request.method, request.path, request.query, headers, request.body)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._handler(full)
        except TimeoutError as error:
            raise Unreachable(f"no answer from the API server in {timeout_s} s") from error

    async def close(self) -> None:
        return None
