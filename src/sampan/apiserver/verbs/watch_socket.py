"""A watch over a WebSocket: each event a message, text for JSON and binary for protobuf."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sampan.std import websocket
from sampan.std.http import Feed, Request, Response, Stream
from sampan.std.websocket import Frame

BEARER = "base64url.bearer.authorization.k8s.io."


def over_socket(
    request: Request, headers: Mapping[str, str], feed: Feed, *, framed: bool
) -> Response:
    """The answer that upgrades the connection and pushes a watch's events into it."""
    offered = request.headers.get("sec-websocket-protocol", "").split(",")
    names = [name.strip() for name in offered if name.strip()]
    chosen = next((name for name in names if not name.startswith(BEARER)), "")

    async def run(stream: Stream) -> None:
        sending = asyncio.create_task(_send(stream, feed, framed=framed))
        listening = asyncio.create_task(_listen(stream))
        try:
            await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            await feed.aclose()
            stream.close()

    accepted = websocket.accept_headers(request.headers["sec-websocket-key"], chosen)
    warnings = {key: value for key, value in headers.items() if key == "warning"}
    return Response(101, {**accepted, **warnings}, upgrade=run)


async def _send(stream: Stream, feed: Feed, *, framed: bool) -> None:
    async for chunk in feed:
        if framed:
            await stream.write(websocket.encode(Frame(websocket.BINARY, chunk[4:])))
            continue
        for line in chunk.splitlines(keepends=True):
            await stream.write(websocket.encode(Frame(websocket.TEXT, line)))
    await stream.write(websocket.encode(websocket.close()))


async def _listen(stream: Stream) -> None:
    """Nothing that the client says matters, but that it is alive or goes."""
    decoder = websocket.Decoder()
    while data := await stream.read():
        for frame in decoder.feed(data):
            if frame.opcode == websocket.CLOSE:
                return
            if frame.opcode == websocket.PING:
                await stream.write(websocket.encode(Frame(websocket.PONG, frame.payload)))
