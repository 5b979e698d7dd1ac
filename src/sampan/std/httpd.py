"""An HTTP server, 1.1 and where TLS agrees upon it 2: keep-alive, pipelining, chunked streaming,
upgrades, TLS with optional client certificates, and limits for slow or greedy peers.

One `Connection` (http_connection.py, http2.py) per peer parses and answers; here they are accepted,
counted, timed and ended. Nothing here knows what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from sampan.std.http import Handler
from sampan.std.http_connection import Connection, Limits, Peers

__all__ = ["Limits", "Server", "listener", "serve"]

SWEEP_S = 1.0
CLOSE_GRACE_S = 0.5


def listener(host: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one. `::` takes IPv4 as well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


@dataclass(slots=True)
class Server:
    """A running server; `close` ends it, letting answers that are under way finish."""

    name: str
    port: int
    connections: Peers
    acceptor: asyncio.Server
    sweeper: asyncio.Task[None]

    async def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Accept no more, end idle connections and streams, give running answers `grace_s`."""
        await self._accept_no_more()
        self.sweeper.cancel()
        for connection in list(self.connections):
            connection.wind_down()
        running = [task for c in self.connections for task in c.running()]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for connection in list(self.connections):
            connection.abort()
        stuck = [task for task in running if not task.done()]
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=grace_s)
        with contextlib.suppress(asyncio.CancelledError):
            await self.sweeper

    async def _accept_no_more(self) -> None:
        """First to hear of no new peers: asyncio leaves open, and tells, those that it accepted
        but had no turn to make before its server is closed.
        """
        self.connections.closed = True
        loop = asyncio.get_running_loop()
        for sock in self.acceptor.sockets:
            loop.remove_reader(sock)
        await asyncio.sleep(0)
        self.acceptor.close()


async def serve(
    handler: Handler,
    *,
    sock: socket.socket,
    tls: ssl.SSLContext | None = None,
    name: str = "",
    limits: Limits | None = None,
    http2: bool = False,
) -> Server:
    """Serve on a listening socket until `Server.close`; the socket is the server's from now on.

    `http2` needs TLS: peers that ask for it by ALPN get it.
    """
    loop = asyncio.get_running_loop()
    connections = Peers()
    chosen = limits or Limits()
    make: Callable[[], Connection] = partial(Connection, handler, connections, chosen, loop)
    if http2 and tls is not None:
        tls.set_alpn_protocols(["h2", "http/1.1"])
        make = partial(_Either, handler, connections, chosen, loop)
    acceptor = await loop.create_server(
        make,
        sock=sock,
        ssl=tls,
        ssl_handshake_timeout=chosen.head_s if tls else None,
        backlog=1024,
    )
    port = sock.getsockname()[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else 0
    sweeper = loop.create_task(_sweep(connections), name=f"httpd {name} sweeper")
    return Server(name, port, connections, acceptor, sweeper)


class _Either(Connection):
    """HTTP/1.1, unless TLS has agreed upon the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            super().connection_made(transport)
            return
        # Only here: nobody else needs the package at the start.
        from sampan.std.http2 import Http2Connection

        other = Http2Connection(self.handler, self.peers, self.limits, self.loop)
        cast(asyncio.Transport, transport).set_protocol(other)
        other.connection_made(transport)


async def _sweep(connections: Peers) -> None:
    """One timer for all connections, not one timer each."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        now = loop.time()
        for connection in list(connections):
            connection.check_deadlines(now)
