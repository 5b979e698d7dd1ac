"""exec and attach over SPDY/3.1: one stream each for stdin, stdout, stderr, errors and resizing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson

from sampan.api.meta import Json
from sampan.kubelet.server import spdy
from sampan.kubelet.server.wire import Wants, Wire
from sampan.std.http import Request, Response, Stream

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
             "channel.k8s.io")  # fmt: skip
WITH_STATUS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
WITH_RESIZE = (*WITH_STATUS, "v3.channel.k8s.io")
OPENING_S = 30.0
Run = Callable[[Wire, Wants], Awaitable[None]]


def is_spdy(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "spdy/3.1"


def headers_for(protocol: str) -> dict[str, str]:
    return {
        "connection": "Upgrade",
        "upgrade": "SPDY/3.1",
        "x-stream-protocol-version": protocol,
    }


def offered(request: Request) -> list[str]:
    text = request.headers.get("x-stream-protocol-version", "")
    return [word.strip() for word in text.split(",") if word.strip()]


def answer(request: Request, wants: Wants, run: Run) -> Response:
    names = offered(request) or ["channel.k8s.io"]
    protocol = next((name for name in names if name in PROTOCOLS), "")
    if not protocol:
        body = f"unable to upgrade: none of {', '.join(names)} is spoken here\n"
        return Response(403, {"content-type": "text/plain"}, body.encode())

    async def speak(stream: Stream) -> None:
        wire = SpdyWire(protocol, wants)
        session = spdy.Session(stream, wire.accept)
        wire.session = session
        reading = asyncio.ensure_future(session.run())
        try:
            async with asyncio.timeout(OPENING_S):
                await wire.complete.wait()
            await run(wire, wants)
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    return Response(101, headers_for(protocol), upgrade=speak)


class SpdyWire:
    """A `Wire`; it is complete when every stream that was asked for has been opened."""

    def __init__(self, protocol: str, wants: Wants) -> None:
        self.protocol = protocol
        self.session: spdy.Session | None = None
        self.streams: dict[str, spdy.SpdyStream] = {}
        self.complete = asyncio.Event()
        names = {"error": True, "stdin": wants.stdin, "stdout": wants.stdout,
                 "stderr": wants.stderr and not wants.tty,
                 "resize": wants.tty and protocol in WITH_RESIZE}  # fmt: skip
        self.expected = {name for name, wanted in names.items() if wanted}

    async def accept(self, stream: spdy.SpdyStream) -> None:
        self.streams[stream.headers.get("streamtype", "").lower()] = stream
        if self.expected <= set(self.streams):
            self.complete.set()

    async def stdin(self) -> AsyncIterator[bytes]:
        stream = self.streams.get("stdin")
        while stream is not None and (data := await stream.read()):
            yield data

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        stream = self.streams.get("resize")
        while stream is not None and (data := await stream.read()):
            for line in data.split(b"\n"):
                if line.strip():
                    size = orjson.loads(line)
                    yield int(size["Width"]), int(size["Height"])

    async def send(self, *, stderr: bool, data: bytes) -> None:
        await self.streams["stderr" if stderr else "stdout"].write(data)

    async def finish(self, status: Json) -> None:
        assert self.session is not None
        error = self.streams["error"]
        if self.protocol in WITH_STATUS:
            await error.write(orjson.dumps(status))
        elif status["status"] != "Success":
            await error.write(status["message"].encode())
        for stream in self.streams.values():
            await stream.close()
        await self.session.close()

    async def gone(self) -> None:
        assert self.session is not None
        await self.session.left.wait()
