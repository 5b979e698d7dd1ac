"""The HTTP transport: HTTP/1.1 with keep-alive over TLS or plain TCP, for any API server.

One connection carries one request at a time; idle ones are kept and reused, newest first. A watch
holds its connection until its body ends or is closed. Connections that die while idle are noticed
at once, and a GET that met one is sent again on a fresh one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import cast
from urllib.parse import urlsplit

import httptools

from sampan.client.transport import Request, Response, Unreachable
from sampan.std.tls import load_pair

IDLE_CONNECTIONS = 32
BUFFER_HIGH = 1 << 20
"""A body that its reader does not keep up with is no longer read from the socket beyond this."""
SILENCE_S = 30
"""TCP ends a connection whose peer has vanished after this long; a watch would wait for ever."""


class HttpTransport:
    """To one server, `https://host:port[/prefix]` or `http://...`; certificates and keys as PEM,
    no `ca` means the machine's own authorities.
    """

    def __init__(
        self,
        server_url: str,
        *,
        ca: bytes = b"",
        cert: bytes = b"",
        key: bytes = b"",
        insecure: bool = False,
        server_name: str = "",
    ) -> None:
        url = urlsplit(server_url if "://" in server_url else f"https://{server_url}")
        self._host = url.hostname or "localhost"
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._prefix = url.path.rstrip("/")
        self._authority = url.netloc.rpartition("@")[2]
        self._server_name = server_name or self._host
        self._context: ssl.SSLContext | None = None
        if url.scheme == "https":
            self._context = tls_context(ca, cert, key, insecure=insecure)
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._closed = False
        self.on_answer: Callable[[str, str, float], None] | None = None
        """Told method, code and seconds of every request, for a metrics page."""

    @property
    def authority(self) -> str:
        """Host and port, as the Host header has them."""
        return self._authority

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        data = self._encode(request)
        if self.on_answer is None:
            return await self._bounded(request.method, data, timeout_s)
        begun = time.perf_counter()
        code = "<error>"
        try:
            response = await self._bounded(request.method, data, timeout_s)
            code = str(response.status)
            return response
        finally:
            self.on_answer(request.method, code, time.perf_counter() - begun)

    async def _bounded(self, method: str, data: bytes, timeout_s: float) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(method, data)
        except TimeoutError as error:
            raise self._unreachable(f"no answer in {timeout_s:g} s") from error
        except (OSError, httptools.HttpParserError) as error:
            raise self._unreachable(why(error)) from error

    async def close(self) -> None:
        self._closed = True
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()

    async def _exchange(self, method: str, data: bytes) -> Response:
        while True:
            reused = bool(self._idle)
            connection = self._idle.pop() if reused else await self._connect()
            try:
                return await connection.exchange(data, head_only=method == "HEAD")
            except ConnectionError:
                # The server closed it while we were asking. Only a read may be asked twice.
                if not reused or method not in ("GET", "HEAD"):
                    raise

    async def _connect(self) -> _Connection:
        if self._closed:
            raise ConnectionError("the transport is closed")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._idle, self._open),
            self._host,
            self._port,
            ssl=self._context,
            server_hostname=self._server_name if self._context else None,
        )
        return connection

    def _encode(self, request: Request) -> bytes:
        target = self._prefix + request.path + (f"?{request.query}" if request.query else "")
        lines = [f"{request.method} {target} HTTP/1.1", f"host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(request.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(f"cannot reach {self._authority}: {why}")


class _Connection(asyncio.Protocol):
    """One socket. `exchange` sends and waits for the head; the body follows through `_read`."""

    def __init__(self, idle: list[_Connection], opened: set[_Connection]) -> None:
        self._idle = idle
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._head_only = False
        self._started = False
        self._complete = False
        self._reusable = True
        self._lost: Exception | None = None

    # What the transport and the readers call.

    async def exchange(self, data: bytes, *, head_only: bool) -> Response:
        """Raises ConnectionError where the peer ended it before a whole head came."""
        if self._lost is not None or self._transport is None:
            raise self._lost or ConnectionError("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._chunks, self._buffered = {}, [], 0
        self._started, self._complete, self._head_only = False, False, head_only
        self._head = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            await self._head
        except BaseException:
            self.abort()
            raise
        status = self._parser.get_status_code()
        if self._complete or head_only:
            body = b"".join(self._chunks)
            self._release()
            return Response(status, self._headers, body)
        return Response(status, self._headers, self._read())

    def abort(self) -> None:
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def _read(self) -> AsyncIterator[bytes]:
        """The body as it comes. Closing this early gives up the connection."""
        try:
            while True:
                if self._chunks:
                    data, self._chunks, self._buffered = b"".join(self._chunks), [], 0
                    self._resume()
                    yield data
                elif self._complete:
                    return
                elif self._lost is not None:
                    raise Unreachable(f"the connection broke in the answer: {self._lost}")
                else:
                    self._news = asyncio.get_running_loop().create_future()
                    await self._news
        finally:
            self._release()

    def _release(self) -> None:
        """Back to the idle ones where the answer was read to its end, else away with it."""
        whole = self._complete and self._reusable and self._lost is None
        if whole and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(self)
        else:
            self.abort()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, only of their shape.
        self._transport = cast(asyncio.Transport, transport)
        self._opened.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _watch_for_silence(sock)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"not an HTTP answer: {error}"))
            self.abort()
        else:
            # Only now: a short answer came whole in this one packet, and needs no stream.
            if self._started:
                self._end_head()
            self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self)
        if self in self._idle:
            self._idle.remove(self)
        if not self._until_close():
            self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _until_close(self) -> bool:
        """A body with neither length nor chunks ends with its connection."""
        framed = "content-length" in self._headers or "transfer-encoding" in self._headers
        if framed or not self._started or self._complete:
            return False
        self._complete, self._reusable = True, False
        self._wake()
        return True

    def _fail(self, error: Exception) -> None:
        self._lost = error
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        seen = self._headers.get(key)
        self._headers[key] = text if seen is None else f"{seen}, {text}"

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self._parser.get_status_code() < 200:
            self._headers = {}
            return
        self._started = True
        # The answer to HEAD has no body to wait for, whatever content-length says.
        self._reusable = self._parser.should_keep_alive() and not self._head_only

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > BUFFER_HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._parser.get_status_code() < 200:
            return
        self._complete = True

    def _end_head(self) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_result(None)


def why(error: Exception) -> str:
    """What keeps us from a server, without numbers and source lines, and what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}): check the "
            "certificate-authority of the kubeconfig"
        )
    if isinstance(error, ssl.SSLError):
        reason = (getattr(error, "reason", "") or "no handshake").replace("_", " ").lower()
        return f"TLS failed ({reason}): check scheme and port of the server's address"
    if isinstance(error, socket.gaierror):
        return f"its name has no address ({error.strerror}): check the server's address"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _watch_for_silence(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_S // 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE_S // 6)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)


def tls_context(ca: bytes, cert: bytes, key: bytes, *, insecure: bool) -> ssl.SSLContext:
    """Raises ValueError where a certificate or key cannot be read."""
    try:
        context = ssl.create_default_context(cadata=ca.decode() if ca else None)
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            load_pair(context, cert, key)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot use the TLS certificates: {error}") from error
    return context
