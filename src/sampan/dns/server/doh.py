"""DNS over HTTPS (RFC 8484): GET with `?dns=` or POST, over TLS where certificates are given."""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
from urllib.parse import parse_qs

from sampan.dns import codes
from sampan.dns.message import BadMessage, parse
from sampan.dns.plugin import Client
from sampan.dns.server.answer import Answerer
from sampan.dns.server.tcp import MAX_CONNECTIONS
from sampan.std.http import Request, Response
from sampan.std.httpd import Limits, Server, serve

MEDIA = "application/dns-message"
MAX_BODY = 65535
LEAST_S = 5
"""How long an HTTP cache may keep a reply that says nothing about it."""


class HttpsListener:
    """One listening socket for queries in HTTP requests to one of `paths`."""

    def __init__(
        self,
        sock: socket.socket,
        answerer: Answerer,
        tls: ssl.SSLContext | None,
        paths: tuple[str, ...],
    ) -> None:
        self.sock = sock
        self.answerer = answerer
        self.tls = tls
        self.paths = paths
        self._server: Server | None = None

    async def start(self) -> None:
        # Twice, so that whoever sends too much is told so.
        limits = Limits(body_bytes=2 * MAX_BODY, connections=MAX_CONNECTIONS)
        self._server = await serve(
            self.handle, sock=self.sock, tls=self.tls, name="doh", limits=limits, http2=True
        )

    async def handle(self, request: Request) -> Response:
        if request.path not in self.paths:
            return _refused(404, "")
        try:
            wire = query_in(request)
        except ValueError as bad:
            return _refused(400, str(bad))
        local, local_port = self.sock.getsockname()[:2]
        client = Client(request.peer or "127.0.0.1", 0, local, local_port, "tcp")
        replies = await self.answerer.full(wire, client)
        if not replies:
            return _refused(500, "no response")
        age = lifetime(replies[0])
        headers = {"content-type": MEDIA, "cache-control": f"max-age={age}"}
        return Response(200, headers, replies[0])

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()


def query_in(request: Request) -> bytes:
    """The DNS message of a request. Raises ValueError, with the text for the client."""
    if request.method == "POST":
        if len(request.body) > MAX_BODY:
            raise ValueError("message too large")
        return request.body
    if request.method != "GET":
        raise ValueError(f"method not allowed: {request.method}")
    found = parse_qs(request.query, keep_blank_values=True).get("dns")
    if not found:
        raise ValueError("no 'dns' query parameter found")
    if len(found) > 1:
        raise ValueError("multiple 'dns' query values found")
    try:
        return base64.urlsafe_b64decode(found[0] + "=" * (-len(found[0]) % 4))
    except (binascii.Error, ValueError) as bad:
        raise ValueError(f"illegal base64 data: {bad}") from bad


def lifetime(wire: bytes) -> int:
    """How long an HTTP cache may keep a reply: its smallest TTL (RFC 8484 section 5.1)."""
    try:
        message = parse(wire)
    except BadMessage:
        return LEAST_S
    records = (*message.answer, *message.authority, *message.additional)
    if message.rcode not in (codes.NOERROR, codes.NXDOMAIN) or not records:
        return LEAST_S
    return min(record.ttl for record in records)


def _refused(status: int, why: str) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, why.encode())
