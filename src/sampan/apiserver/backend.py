"""One request to somebody behind us (a kubelet, a pod), passed on byte by byte.

    client  <- httpd <- Response(body or upgrade) <- here <- socket -> kubelet, pod

A connection serves one request: what comes back may be an endless log, an answer, or, after 101, a
stream both ways that nobody here understands.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httptools

from sampan.api.errors import ServiceUnavailable
from sampan.std.http import Response, Stream

CONNECT_S = 10.0
HEAD_S = 60.0
CHUNK = 64 << 10
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "content-length", "host",
})  # fmt: skip
SECRET = frozenset({"authorization", "cookie"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and how it is to be secured."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """Whom the certificate must name, if not the host."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The request as it goes out; `path` carries its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def encode(self, target: Target) -> bytes:
        upgrade = "upgrade" in self.headers
        lines = [f"{self.method} {self.path} HTTP/1.1", f"host: {target.authority}"]
        lines += [f"{key}: {value}" for key, value in self.headers.items() if key not in HOP_BY_HOP]
        lines.append("connection: Upgrade" if upgrade else "connection: close")
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


def headers_for(headers: Mapping[str, str], peer: str, *, kubelet: bool = False) -> dict[str, str]:
    """The client's headers as they may leave: no credentials of ours, and who it was."""
    found = {key: value for key, value in headers.items() if key not in SECRET}
    found = {k: v for k, v in found.items() if not k.startswith("impersonate-")}
    if peer and not kubelet:
        chain = found.get("x-forwarded-for")
        found["x-forwarded-for"] = f"{chain}, {peer}" if chain else peer
    return found


class _Head:
    """Parses an answer's head, then hands out its body."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.status = 0
        self.complete = False
        self.parts: list[bytes] = []
        self.ended = False
        self.rest = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.headers[key] = joined

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.complete = self.status != 100

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        if self.status == 100:
            self.headers.clear()
            return
        self.ended = True

    def feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]

    def take(self) -> bytes:
        body = b"".join(self.parts)
        self.parts.clear()
        return body


async def forward(target: Target, asked: Asked) -> Response:
    """Ask and begin to answer. Raises ServiceUnavailable when nobody answers."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, ssl=target.tls, server_hostname=_name(target)
            )
    except (OSError, TimeoutError) as error:
        raise unreachable(target, error) from error
    head = _Head()
    try:
        writer.write(asked.encode(target))
        async with asyncio.timeout(HEAD_S):
            await writer.drain()
            while not head.complete:
                data = await reader.read(CHUNK)
                if not data:
                    raise ConnectionResetError("the connection was closed before an answer")
                head.feed(data)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        writer.close()
        raise unreachable(target, error) from error
    except BaseException:
        writer.close()
        raise
    headers = {key: value for key, value in head.headers.items() if key not in HOP_BY_HOP}
    if head.status == 101:
        headers["connection"] = "Upgrade"

        async def splice(client: Stream) -> None:
            await _splice(client, reader, writer, head.rest)

        return Response(101, headers, upgrade=splice)
    if head.ended or asked.method == "HEAD":
        writer.close()
        return Response(head.status, headers, head.take())
    return Response(head.status, headers, _body(head, reader, writer))


def unreachable(target: Target, error: BaseException) -> ServiceUnavailable:
    why = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = "i/o timeout"
    elif isinstance(error, OSError) and error.errno:
        why = f"connect: {os.strerror(error.errno).lower()}"
    return ServiceUnavailable(f"error trying to reach service: dial tcp {target.authority}: {why}")


def _name(target: Target) -> str | None:
    return (target.server_name or target.host) if target.tls is not None else None


async def _body(
    head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[bytes]:
    try:
        while True:
            if head.parts:
                yield head.take()
            if head.ended:
                return
            data = await reader.read(CHUNK)
            if not data:
                return
            head.feed(data)
    finally:
        writer.close()


async def _splice(
    client: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes
) -> None:
    """Pass bytes both ways until both sides have ended, or one breaks."""

    async def outward() -> None:
        while data := await client.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def inward() -> None:
        if early:
            await client.write(early)
        while data := await reader.read(CHUNK):
            await client.write(data)

    going_out = asyncio.create_task(outward())
    try:
        await inward()
    except OSError:
        return
    finally:
        going_out.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await going_out
        writer.close()
        client.close()
