"""Channels over a WebSocket: the first byte of every message says which stream it belongs to.

v5.channel.k8s.io       binary; a message 0xFF <channel> closes that channel
v4.channel.k8s.io       binary; how it ended comes as a Status on channel 3
channel.k8s.io, ""      binary; channel 3 has plain text, and only about failures
base64.…                the same as text: a digit, then base64
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson

from sampan.api.meta import Json
from sampan.kubelet.server.wire import Wants
from sampan.std import websocket as ws
from sampan.std.http import Request, Stream

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE_CHANNEL = 255
MESSAGE_LIMIT = 32 << 20
QUEUED = 64
"""Messages of one channel that wait for their reader; then the connection is not read from."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How one of the sub-protocols is spoken."""

    name: str
    base64: bool = False
    status: bool = True
    closing: bool = False


REMOTE_COMMAND = (
    Protocol("v5.channel.k8s.io", closing=True),
    Protocol("v4.channel.k8s.io"),
    Protocol("v4.base64.channel.k8s.io", base64=True),
    Protocol("channel.k8s.io", status=False),
    Protocol("base64.channel.k8s.io", base64=True, status=False),
)
PORT_FORWARD = (
    Protocol("v4.channel.k8s.io"),
    Protocol("v4.base64.channel.k8s.io", base64=True),
)
PLAIN = Protocol("", status=False)


def is_websocket(request: Request) -> bool:
    return ws.is_asked(request.headers)


def offered(request: Request) -> list[str]:
    text = request.headers.get("sec-websocket-protocol", "")
    return [word.strip() for word in text.split(",") if word.strip()]


def choose(request: Request, known: tuple[Protocol, ...]) -> Protocol | None:
    """The first of the client's that we speak; None when it offers only others."""
    names = offered(request)
    if not names:
        return PLAIN
    table = {protocol.name: protocol for protocol in known}
    return next((table[name] for name in names if name in table), None)


def accept_headers(request: Request, protocol: str) -> dict[str, str]:
    return ws.accept_headers(request.headers["sec-websocket-key"], protocol)


class Channels:
    """One connection; `run` reads it and hands out messages by channel."""

    def __init__(self, stream: Stream, protocol: Protocol) -> None:
        self.stream, self.protocol = stream, protocol
        self.queues: dict[int, asyncio.Queue[bytes | None]] = {}
        self.left = asyncio.Event()

    def open(self, channel: int) -> asyncio.Queue[bytes | None]:
        """Messages that come on a channel; None at its end."""
        return self.queues.setdefault(channel, asyncio.Queue(QUEUED))

    async def run(self) -> None:
        """Until the client leaves."""
        decoder = ws.Decoder(limit=MESSAGE_LIMIT)
        try:
            while data := await self.stream.read():
                for frame in decoder.feed(data):
                    if frame.opcode == ws.CLOSE:
                        return
                    if frame.opcode == ws.PING:
                        await self.stream.write(ws.encode(ws.Frame(ws.PONG, frame.payload)))
                    elif frame.opcode in (ws.TEXT, ws.BINARY):
                        await self._take(frame.payload)
        except (ws.ProtocolViolation, ConnectionError):
            return
        finally:
            self.left.set()
            for queue in self.queues.values():
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)

    async def _take(self, payload: bytes) -> None:
        if not payload:
            return
        if self.protocol.closing and payload[0] == CLOSE_CHANNEL:
            if len(payload) > 1 and payload[1] in self.queues:
                await self.queues[payload[1]].put(None)
            return
        channel, data = payload[0], payload[1:]
        if self.protocol.base64:
            channel, data = channel - ord("0"), base64.b64decode(data)
        if channel in self.queues and data:
            await self.queues[channel].put(data)

    async def send(self, channel: int, data: bytes) -> None:
        if self.protocol.base64:
            text = str(channel).encode() + base64.b64encode(data)
            await self.stream.write(ws.encode(ws.Frame(ws.TEXT, text)))
        else:
            await self.stream.write(ws.encode(ws.Frame(ws.BINARY, bytes((channel,)) + data)))

    async def close(self) -> None:
        await self.stream.write(ws.encode(ws.close()))
        self.stream.close()


@dataclass(slots=True)
class WebSocketWire:
    """exec and attach over channels."""

    channels: Channels
    wants: Wants
    _stdin: asyncio.Queue[bytes | None] = field(init=False)
    _sizes: asyncio.Queue[bytes | None] = field(init=False)

    def __post_init__(self) -> None:
        self._stdin = self.channels.open(STDIN)
        self._sizes = self.channels.open(RESIZE)

    async def greet(self) -> None:
        """An empty message tells clients of the older protocols that the connection stands; those
        of v5 know, and may not even have their streams yet.
        """
        if self.channels.protocol.closing:
            return
        first = STDOUT if self.wants.stdout else STDERR if self.wants.stderr else ERROR
        await self.channels.send(first, b"")

    async def stdin(self) -> AsyncIterator[bytes]:
        while (data := await self._stdin.get()) is not None:
            yield data

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        while (data := await self._sizes.get()) is not None:
            size = orjson.loads(data)
            yield int(size["Width"]), int(size["Height"])

    async def send(self, *, stderr: bool, data: bytes) -> None:
        await self.channels.send(STDERR if stderr else STDOUT, data)

    async def finish(self, status: Json) -> None:
        if self.channels.protocol.status:
            await self.channels.send(ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await self.channels.send(ERROR, status["message"].encode())
        await self.channels.close()

    async def gone(self) -> None:
        await self.channels.left.wait()
