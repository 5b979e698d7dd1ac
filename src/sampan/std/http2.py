"""One peer that speaks HTTP/2 (RFC 9113) to the server: frames in, requests out, answers back as
they are ready. The frames and header compression are the `h2` package's; here are the streams.

For short answers (DNS over HTTPS): bodies go out whole, nothing is pushed or upgraded.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error

from sampan.std.http import Handler, Request, Response
from sampan.std.http_connection import Limits, Peers

ALPN = "h2"
MAX_RESETS = 200
"""Streams that a peer may give up, beyond those it let us answer (CVE-2023-44487)."""
_log = logging.getLogger("sampan.httpd")


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    since: float
    body: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None
    left: bytes = b""
    """What the peer's window has no room for yet."""


class Http2Connection(asyncio.Protocol):
    """A protocol for `transport.set_protocol`, once TLS has agreed upon `h2`."""

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
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams: dict[int, _Stream] = {}
        self.since = loop.time()
        self.answered, self.resets = 0, 0
        self.stalled_since = 0.0
        self.ending = False

    # -- transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self.peers.welcome(self.limits.connections):
            self.transport.abort()
        self.peers.add(self)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.since = self.loop.time()
        try:
            for event in self.h2.receive_data(data):
                if not self.transport.is_closing():
                    self._take(event)
        except (H2Error, UnicodeDecodeError):
            self._flush()  # the frame that says why is waiting there
            self.transport.close()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.peers.discard(self)
        for stream in self.streams.values():
            if stream.task is not None:
                stream.task.cancel()
        self.streams.clear()

    def pause_writing(self) -> None:
        self.stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        self.stalled_since = 0.0

    # -- frames

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self.streams[event.stream_id] = _Stream(_merged(event.headers), self.since)
            case DataReceived():
                self._body(event)
            case StreamEnded():
                stream = self.streams.get(event.stream_id)
                if stream is not None and stream.task is None:
                    stream.task = self.loop.create_task(self._answer(event.stream_id, stream))
            case StreamReset():
                self._given_up(event.stream_id)
            case WindowUpdated():
                for number in list(self.streams):
                    self._send_more(number)
            case ConnectionTerminated():
                self.ending = True
                self._close_when_done()
            case _:
                pass  # settings, priorities, pings: answered by the package

    def _body(self, event: DataReceived) -> None:
        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        stream.body += event.data
        if len(stream.body) > self.limits.body_bytes:
            self.h2.reset_stream(event.stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
            del self.streams[event.stream_id]

    def _given_up(self, number: int) -> None:
        stream = self.streams.pop(number, None)
        if stream is not None and stream.task is not None:
            stream.task.cancel()
        self.resets += 1
        if self.resets > MAX_RESETS + self.answered:
            self.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._flush()
            self.ending = True
            self.transport.close()

    # -- answers

    async def _answer(self, number: int, stream: _Stream) -> None:
        try:
            response = await self.handler(self._request(stream))
            body = await response.read()
        except Exception:  # noqa: BLE001 - the server outlives its handlers
            _log.exception("%s", stream.headers.get(":path"))
            body = b"internal error\n"
            response = Response(500, {"content-type": "text/plain"}, body)
        if self.streams.get(number) is stream:
            try:
                self._send(number, stream, response, body)
            except H2Error:
                self.transport.close()  # the peer has said good-bye
        self._close_when_done()

    def _send(self, number: int, stream: _Stream, response: Response, body: bytes) -> None:
        head = [(":status", str(response.status))]
        head += [(name.lower(), value) for name, value in response.headers.items()]
        head.append(("content-length", str(len(body))))
        self.answered += 1
        self.h2.send_headers(number, head, end_stream=not body)
        if body:
            stream.left = body
            self._send_more(number)
        else:
            del self.streams[number]
        self._flush()

    def _request(self, stream: _Stream) -> Request:
        headers = stream.headers
        path, _, query = headers.get(":path", "/").partition("?")
        plain = {name: value for name, value in headers.items() if not name.startswith(":")}
        plain["host"] = headers.get(":authority", plain.get("host", ""))
        method = headers.get(":method", "GET")
        return Request(method, path, query, plain, bytes(stream.body), self.peer)

    def _send_more(self, number: int) -> None:
        """As much as both windows take; the rest waits for the peer to open them."""
        stream = self.streams[number]
        while stream.left:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            part, stream.left = stream.left[:room], stream.left[room:]
            self.h2.send_data(number, part, end_stream=not stream.left)
            if not stream.left:
                del self.streams[number]

    def _flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _close_when_done(self) -> None:
        if self.ending and not self.streams:
            self.transport.close()

    # -- the server's side

    def running(self) -> list[asyncio.Task[None]]:
        return [stream.task for stream in self.streams.values() if stream.task is not None]

    def check_deadlines(self, now: float) -> None:
        limits = self.limits
        if self.stalled_since and now - self.stalled_since > limits.stall_s:
            self.transport.abort()
            return
        for number, stream in list(self.streams.items()):
            # A request that does not end, or an answer that nobody takes.
            bound = limits.head_s if stream.task is None else limits.stall_s
            if (stream.task is None or stream.left) and now - stream.since > bound:
                self.h2.reset_stream(number, ErrorCodes.CANCEL)
                del self.streams[number]
        self._flush()
        if not self.streams and now - self.since > limits.idle_s:
            self.wind_down()

    def wind_down(self) -> None:
        """No further request; what is under way is answered."""
        if not self.ending:
            self.ending = True
            if not self.streams:
                self.h2.close_connection()
                self._flush()
        self._close_when_done()

    def abort(self) -> None:
        self.transport.abort()


def _merged(headers: object) -> dict[str, str]:
    """Repeated fields joined by a comma, as RFC 9110 has it."""
    found: dict[str, str] = {}
    for name, value in cast("list[tuple[str, str]]", headers):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found
