"""The kubelet's port on a real clock over fakes, and clients of it in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sampan.client.client import Client
from sampan.kubelet.server import spdy
from sampan.kubelet.server.auth import Gate
from sampan.kubelet.server.server import KubeletServer
from sampan.kubelet.settings import Server
from sampan.linux.fake.cgroups import FakeCgroups
from sampan.std import websocket as ws
from sampan.std.clock import SystemClock
from sampan.std.http import Request, Response
from tests.kubelet.bench import Bench

OPEN = Server(anonymous=True, always_allow=True)
EXEC = "/exec/default/p/c"


class Pipe:
    """One side of a connection in memory; `other` is the one across."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.other: Pipe = self
        self.closed = False

    @classmethod
    def pair(cls) -> tuple[Pipe, Pipe]:
        one, two = cls(), cls()
        one.other, two.other = two, one
        return one, two

    async def read(self, limit: int = 65536) -> bytes:
        return b"" if self.closed else await self.incoming.get()

    async def write(self, data: bytes) -> None:
        self.other.incoming.put_nowait(data)

    def close(self) -> None:
        self.closed = True
        self.other.incoming.put_nowait(b"")


class Live(Bench):
    """A kubelet on a real clock, with its port."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clock = SystemClock()  # type: ignore[assignment]
        self.runtime.clock = self.clock
        self.kubelet = self.make()
        self.cgroups = FakeCgroups()
        gate = Gate(Client(self.api), "n1", self.clock, OPEN)
        self.server = KubeletServer(self.kubelet, gate, self.cgroups)

    async def ready(self, name: str = "p") -> None:
        async with asyncio.timeout(5):
            while self.condition("Ready", name) != "True":  # noqa: ASYNC110 - told by no event
                await asyncio.sleep(0.005)

    async def ask(self, path: str, query: str = "", **headers: str) -> Response:
        return await self.server.handle(Request("GET", path, query, headers))

    async def text(self, path: str, query: str = "") -> str:
        return (await (await self.ask(path, query)).read()).decode()


class Talk:
    """A WebSocket client of the server's handler."""

    def __init__(self, response: Response) -> None:
        self.response = response
        ours, theirs = Pipe.pair()
        self.pipe = ours
        assert response.upgrade is not None
        self.task = asyncio.ensure_future(response.upgrade(theirs))
        self.decoder = ws.Decoder(limit=1 << 24)
        self.channels: dict[int, bytes] = {}

    async def send(self, channel: int, data: bytes) -> None:
        frame = ws.Frame(ws.BINARY, bytes((channel,)) + data)
        await self.pipe.write(ws.encode(frame, mask=True))

    async def listen(self) -> dict[int, bytes]:
        """Everything by channel, until the server closes."""
        async with asyncio.timeout(5):
            while data := await self.pipe.read():
                for frame in self.decoder.feed(data):
                    if frame.opcode == ws.CLOSE:
                        await self.task
                        return self.channels
                    if frame.opcode in (ws.BINARY, ws.TEXT) and frame.payload:
                        self.take(frame)
        return self.channels

    def take(self, frame: ws.Frame) -> None:
        channel, data = frame.payload[0], frame.payload[1:]
        if frame.opcode == ws.TEXT:
            channel, data = channel - ord("0"), base64.b64decode(data)
        self.channels[channel] = self.channels.get(channel, b"") + data


async def talk(live: Live, path: str, query: str, protocol: str = "v5.channel.k8s.io") -> Talk:
    headers = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "x"}
    if protocol:
        headers["sec-websocket-protocol"] = protocol
    response = await live.ask(path, query, **headers)
    assert response.status == 101, response.body
    return Talk(response)


class SpdyClient:
    """Just enough of a client to open streams and read them."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        words = spdy.dictionary()
        self.deflate = zlib.compressobj(zdict=words)
        self.buffer = b""
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()

    async def open(self, number: int, **headers: str) -> None:
        block = struct.pack("!I", len(headers))
        for name, value in headers.items():
            for text in (name, value):
                block += struct.pack("!I", len(text)) + text.encode()
        packed = self.deflate.compress(block) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack("!IIH", number, 0, 0) + packed
        head = struct.pack("!II", 1 << 31 | 3 << 16 | spdy.SYN_STREAM, len(payload))
        await self.pipe.write(head + payload)

    async def send(self, number: int, data: bytes, *, fin: bool = False) -> None:
        await self.pipe.write(struct.pack("!II", number, fin << 24 | len(data)) + data)

    async def listen(self, until: set[int]) -> None:
        """Until those streams have ended."""
        async with asyncio.timeout(5):
            while not until <= self.ended:
                data = await self.pipe.read()
                if not data:
                    return
                self.buffer += data
                self._frames()

    def _frames(self) -> None:
        while len(self.buffer) >= 8:
            first, second = struct.unpack_from("!II", self.buffer)
            size = second & 0xFFFFFF
            if len(self.buffer) < 8 + size:
                return
            payload, self.buffer = self.buffer[8 : 8 + size], self.buffer[8 + size :]
            if not first >> 31:
                self.data[first] = self.data.get(first, b"") + payload
                if second >> 24 & spdy.FIN:
                    self.ended.add(first)


@contextlib.asynccontextmanager
async def upgraded(live: Live, path: str, query: str, **headers: str) -> AsyncIterator[SpdyClient]:
    response = await live.server.handle(
        Request("POST", path, query, {"upgrade": "SPDY/3.1", "connection": "Upgrade", **headers})
    )
    assert response.status == 101, response.body
    assert response.upgrade is not None
    ours, theirs = Pipe.pair()
    task = asyncio.ensure_future(response.upgrade(theirs))
    yield SpdyClient(ours)
    ours.close()
    async with asyncio.timeout(5):
        await task


class TunnelEnd:
    """The client's end of a tunnel: bytes in binary messages."""

    def __init__(self, session: Talk) -> None:
        self.session = session

    async def write(self, data: bytes) -> None:
        await self.session.pipe.write(ws.encode(ws.Frame(ws.BINARY, data), mask=True))

    async def read(self) -> bytes:
        frames = self.session.decoder.feed(await self.session.pipe.read())
        return b"".join(frame.payload for frame in frames if frame.opcode == ws.BINARY)
