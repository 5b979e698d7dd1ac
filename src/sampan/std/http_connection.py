"""One peer of the HTTP server: bytes in, requests out, answers back in order.

data_received -> parser -> Request -> queue -> handler -> head, body -> transport
                                (or, after 101, a raw Stream both ways)
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from sampan.std.http import Detach, Feed, Handler, Request, Response
from sampan.std.http_answer import CONTINUE, ConnectionSink, RawStream, chunk_of, head_of, whole

_log = logging.getLogger("sampan.httpd")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may take."""

    head_bytes: int = 1 << 16
    body_bytes: int = 32 << 20
    pipelined: int = 16
    head_s: float = 30
    """From the first byte of a request to its last."""
    idle_s: float = 180
    """Between two requests."""
    stall_s: float = 60
    """How long a peer may leave our bytes unread."""
    connections: int = 0
    """How many peers there may be; 0 is without end."""


class Peer(Protocol):
    """What the server knows of a connection, whatever version of HTTP it speaks."""

    def running(self) -> list[asyncio.Task[None]]:
        """The answers that are under way."""
        ...

    def check_deadlines(self, now: float) -> None: ...

    def wind_down(self) -> None:
        """No further request; end what would go on for ever."""
        ...

    def abort(self) -> None: ...


class Peers(set[Peer]):
    """Who is connected to a server."""

    closed = False
    """Nobody else is let in: one that was accepted in the last moment comes too late."""

    def welcome(self, limit: int) -> bool:
        """Whether there is room for one more; a limit of 0 is without end."""
        return not self.closed and not 0 < limit <= len(self)


class Connection(asyncio.Protocol):
    """Parses requests and answers them in order; one task while anything is to be answered."""

    def __init__(
        self,
        handler: Handler,
        peers: Peers,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.handler = handler
        self.peers = peers
        self.limits = limits
        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self.queue: deque[tuple[Request, bool]] = deque()
        self.parser = httptools.HttpRequestParser(self)
        self.since = loop.time()
        self.reading_request = False
        self.ending = False
        self.stalled_since = 0.0
        self.drained: asyncio.Future[None] | None = None
        self.stream: RawStream | None = None
        self.upgrading = False
        self.early = b""
        self.refusal: tuple[int, str] | None = None
        self.pushing: ConnectionSink | None = None
        self.detach: Detach | None = None
        self.streaming = False
        self.lost = False
        self._reset()

    # -- transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is one in all but its ancestors.
        self.transport = cast(asyncio.Transport, transport)
        if not self.peers.welcome(self.limits.connections):
            self.transport.abort()
        self.peers.add(self)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self.certificate: bytes | None = tls.getpeercert(binary_form=True) if tls else None
        self.secure = tls is not None

    def data_received(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.feed(data)
            return
        if self.upgrading:
            self.early += data
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.early = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            status, text = self.refusal or (400, "the request is not HTTP/1.1")
            self._refuse(status, text)

    def eof_received(self) -> bool:
        if self.stream is not None:
            self.stream.feed_eof()
            # TLS has no half-closed connection; asyncio complains when asked to keep one.
            return not self.secure
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.peers.discard(self)
        if self.stream is not None:
            self.stream.feed_eof()
        if self.detach is not None and self.pushing is not None:
            self.detach()
            self.detach = None
            self.pushing.abort()
        if self.streaming and self.task is not None:
            self.task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.stalled_since = self.loop.time()
        if self.drained is None:
            self.drained = self.loop.create_future()

    def resume_writing(self) -> None:
        self.stalled_since = 0.0
        if self.drained is not None:
            if not self.drained.done():
                self.drained.set_result(None)
            self.drained = None

    # -- parser callbacks

    def _reset(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.head_size = 0
        self.parts: list[bytes] = []
        self.body_size = 0

    def on_message_begin(self) -> None:
        self._reset()
        self.reading_request = True
        self.since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        self.target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]},{text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self.headers.get("expect", "").lower() == "100-continue" and not self.queue:
            self.transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        self.body_size += len(body)
        if self.body_size > self.limits.body_bytes:
            self.refusal = (413, f"the body is larger than {self.limits.body_bytes} bytes")
            raise ValueError(self.refusal[1])
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.reading_request = False
        keep = self.parser.should_keep_alive() and not self.parser.should_upgrade()
        self.upgrading = self.parser.should_upgrade()
        path, _, query = self.target.partition(b"?")
        if path[:1] != b"/" and b"://" in path:
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        request = Request(
            self.parser.get_method().decode("latin-1"),
            path.decode("latin-1"),
            query.decode("latin-1"),
            self.headers,
            b"".join(self.parts) if self.parts else b"",
            self.peer,
            self.certificate,
        )
        self.queue.append((request, keep))
        if len(self.queue) >= self.limits.pipelined:
            self.transport.pause_reading()
        if self.task is None:
            self.task = self.loop.create_task(self._work())

    def _count_head(self, size: int) -> None:
        self.head_size += size
        if self.head_size > self.limits.head_bytes:
            self.refusal = (431, f"the request head is larger than {self.limits.head_bytes} bytes")
            raise ValueError(self.refusal[1])

    # -- answers

    async def _work(self) -> None:
        """Answer everything that is queued, in order."""
        try:
            while self.queue and not self.lost:
                request, keep = self.queue.popleft()
                if len(self.queue) == self.limits.pipelined - 1:
                    self.transport.resume_reading()
                await self._answer(request, keep and not self.ending)
        except ConnectionError:
            self.transport.abort()
        finally:
            self.task = None
            self.since = self.loop.time()

    async def _answer(self, request: Request, keep: bool) -> None:
        try:
            response = await self.handler(request)
        except Exception:  # noqa: BLE001 - the server outlives its handlers
            _log.exception("%s %s", request.method, request.path)
            response = Response(500, {"content-type": "text/plain"}, b"internal error\n")
        if self.lost:
            await _forget(response)
            return
        if response.upgrade is not None:
            await self._switch(response)
        elif isinstance(response.body, bytes):
            self.transport.write(whole(request.method, response, response.body, keep))
            if self.drained is not None:
                await self.drained
        else:
            await self._send_stream(request.method, response, keep)
        if not keep or response.upgrade is not None:
            self.transport.close()

    async def _send_stream(self, method: str, response: Response, keep: bool) -> None:
        body = response.body
        assert not isinstance(body, bytes)
        self.transport.write(head_of(response.status, response.headers, None, keep))
        if method == "HEAD":
            await _forget(response)
            return
        if isinstance(body, Feed):
            self.pushing = ConnectionSink(self.transport, self, self.loop)
            self.detach = body.attach(self.pushing)
            await self.pushing.ended
            if self.detach is not None:
                self.detach()
            self.detach = None
            return
        self.streaming = True
        try:
            async for chunk in body:
                if chunk:
                    self.transport.write(chunk_of(chunk))
                if self.drained is not None:
                    await self.drained
                if self.lost or self.ending:
                    break
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the server outlives its handlers
            # The head is out: only a broken connection tells the peer that the body is not whole.
            _log.exception("streaming %s", method)
            self.transport.abort()
            return
        finally:
            self.streaming = False
            await _forget(response)
        self.transport.write(b"0\r\n\r\n")

    async def _switch(self, response: Response) -> None:
        assert response.upgrade is not None
        self.transport.write(head_of(101, response.headers, None, True))
        self.stream = RawStream(self.transport, self)
        if self.early:
            self.stream.feed(self.early)
        try:
            await response.upgrade(self.stream)
        except ConnectionError:
            self.transport.abort()
        except Exception:  # noqa: BLE001 - the server outlives its handlers
            _log.exception("upgraded connection")
            self.transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        """A request that never became one; nothing behind it can be trusted."""
        self.ending = True
        if self.task is None and not self.lost:
            headers = {"content-type": "text/plain; charset=utf-8"}
            body = f"{status}: {text}\n".encode()
            self.transport.write(whole("", Response(status, headers), body, False))
        self.transport.close()

    # -- the server's side

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was written."""
        if self.drained is not None:
            await self.drained
        if self.lost:
            raise ConnectionResetError("the peer is gone")

    def running(self) -> list[asyncio.Task[None]]:
        return [] if self.task is None else [self.task]

    def check_deadlines(self, now: float) -> None:
        limits = self.limits
        if self.stalled_since and now - self.stalled_since > limits.stall_s:
            self.transport.abort()
        elif self.task is not None:
            return
        elif self.reading_request and now - self.since > limits.head_s:
            self._refuse(408, f"the request took longer than {limits.head_s:g} s to arrive")
        elif not self.reading_request and now - self.since > limits.idle_s:
            self.transport.close()

    def wind_down(self) -> None:
        """No further request; a pushed stream ends now, an idle connection closes."""
        self.ending = True
        if self.pushing is not None:
            self.pushing.end()
        if self.task is None or self.stream is not None:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()


async def _forget(response: Response) -> None:
    """Let an iterator that is not read to its end clean up."""
    close = getattr(response.body, "aclose", None)
    if close is not None:
        await close()
