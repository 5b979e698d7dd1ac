"""HTTP pages of plugins by address: `health`, `ready`, `prometheus`, `pprof`.

Equal addresses share a socket, and across a reload the socket stays open while the page changes,
so that a probe never meets a closed door.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable

from sampan.dns.server.tcp import listen
from sampan.std.http import Handler, Request, Response
from sampan.std.httpd import Server, serve


class HttpPages:
    """Keeps one server per address, with the handlers that are registered there, newest first."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._handlers: dict[str, list[Handler]] = {}

    async def serve(
        self, address: str, handler: Handler, tls: ssl.SSLContext | None = None
    ) -> Callable[[], Awaitable[None]]:
        """Answer at `host:port` until the returned function is called. Raises OSError."""
        handlers = self._handlers.setdefault(address, [])
        handlers.append(handler)
        if address not in self._servers:
            host, _, port = address.rpartition(":")
            try:
                sock = listen(host.strip("[]"), _port(port))
            except OSError as bad:
                handlers.remove(handler)
                why = f"bind: {bad.strerror.lower()}" if bad.strerror else str(bad)
                raise OSError(f"listen tcp {address}: {why}") from bad
            self._servers[address] = await serve(
                lambda request: self._answer(address, request), sock=sock, tls=tls, name="dns"
            )
        return lambda: self._withdraw(address, handler)

    async def _answer(self, address: str, request: Request) -> Response:
        for handler in reversed(self._handlers.get(address, [])):
            response = await handler(request)
            if response.status != 404:
                return response
        return not_found()

    async def _withdraw(self, address: str, handler: Handler) -> None:
        handlers = self._handlers[address]
        if handler in handlers:
            handlers.remove(handler)
        if not handlers and address in self._servers:
            await self._servers.pop(address).close()


def _port(word: str) -> int:
    """A port or a service's name; none at all leaves the choice to the kernel."""
    if word.isdigit() and int(word) < 1 << 16:
        return int(word)
    if word.isdigit():
        raise OSError("invalid port")
    try:
        return socket.getservbyname(word, "tcp") if word else 0
    except OSError:
        raise OSError(f"lookup tcp/{word}: unknown port") from None


def not_found() -> Response:
    return text("404 page not found\n", 404)


def text(body: str, status: int = 200) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, body.encode())
