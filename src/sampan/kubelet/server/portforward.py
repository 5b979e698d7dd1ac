"""port-forward: TCP connections into a pod's network namespace, over SPDY or over channels.

SPDY/3.1                             old kubectl: pairs of streams (data, error) by request id
SPDY/3.1+portforward.k8s.io          the same bytes inside the messages of a WebSocket
v4.channel.k8s.io                    two channels for each port: 2i data, 2i+1 errors
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence

from sampan.kubelet.server import channels, spdy
from sampan.kubelet.server.spdycommand import headers_for, is_spdy
from sampan.linux.base.processes import Runtime, RuntimeFailure
from sampan.std import websocket as ws
from sampan.std.http import Request, Response, Stream

TUNNEL = "SPDY/3.1+portforward.k8s.io"
PROTOCOL = "portforward.k8s.io"
CHUNK = 32 << 10
CONNECT_S = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[int], Awaitable[Streams]]
"""A connection to a port inside the pod. Raises OSError with a message for the client."""


def dialer(runtime: Runtime, sandbox: str) -> Dial:
    async def dial(port: int) -> Streams:
        """IPv4 loopback, then IPv6: servers listen on either."""
        refusals = []
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                sock = await runtime.dial(sandbox, family)
            except RuntimeFailure as error:
                raise OSError(str(error)) from error
            try:
                async with asyncio.timeout(CONNECT_S):
                    await asyncio.get_running_loop().sock_connect(sock, (host, port))
                return await asyncio.open_connection(sock=sock)
            except (OSError, TimeoutError) as error:
                sock.close()
                name = "4" if family == socket.AF_INET else "6"
                place = f"[{host}]" if ":" in host else host
                why = (
                    "connect: connection refused"
                    if isinstance(error, ConnectionRefusedError)
                    else str(error) or "timed out"
                )
                refusals.append(f"IPv{name}: dial tcp{name} {place}:{port}: {why}")
        raise OSError(
            f"failed to connect to localhost:{port} inside namespace, " + " ".join(refusals)
        )

    return dial


def answer(request: Request, ports: Sequence[int], dial: Dial) -> Response | None:
    """None when the client asks for nothing that is spoken here."""
    if is_spdy(request):
        return Response(101, headers_for(PROTOCOL), upgrade=lambda stream: _serve(stream, dial))
    if not channels.is_websocket(request):
        return None
    if TUNNEL in channels.offered(request):

        async def tunnel(stream: Stream) -> None:
            await _serve(Tunnel(stream), dial)

        return Response(101, channels.accept_headers(request, TUNNEL), upgrade=tunnel)
    protocol = channels.choose(request, channels.PORT_FORWARD)
    if protocol is None or not ports:
        return None

    async def by_channels(stream: Stream) -> None:
        await _channels(channels.Channels(stream, protocol), ports, dial)

    headers = channels.accept_headers(request, protocol.name)
    return Response(101, headers, upgrade=by_channels)


class Tunnel:
    """A byte stream inside the binary messages of a WebSocket."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.decoder = ws.Decoder(limit=channels.MESSAGE_LIMIT)
        self.waiting: list[bytes] = []
        self.ended = False

    async def read(self, limit: int = 65536) -> bytes:
        while not self.waiting and not self.ended:
            data = await self.stream.read()
            if not data:
                return b""
            for frame in self.decoder.feed(data):
                if frame.opcode == ws.CLOSE:
                    self.ended = True
                elif frame.opcode == ws.PING:
                    await self.stream.write(ws.encode(ws.Frame(ws.PONG, frame.payload)))
                elif frame.opcode == ws.BINARY and frame.payload:
                    self.waiting.append(frame.payload)
        return self.waiting.pop(0) if self.waiting else b""

    async def write(self, data: bytes) -> None:
        await self.stream.write(ws.encode(ws.Frame(ws.BINARY, data)))

    def close(self) -> None:
        self.stream.close()


async def _serve(stream: Stream, dial: Dial) -> None:
    """SPDY: every pair of streams is a connection."""
    pairs: dict[str, dict[str, spdy.SpdyStream]] = {}
    async with asyncio.TaskGroup() as group:

        async def accept(opened: spdy.SpdyStream) -> None:
            request = opened.headers.get("requestid") or str((opened.number - 1) // 2 // 2)
            pair = pairs.setdefault(request, {})
            pair[opened.headers.get("streamtype", "")] = opened
            if len(pair) == 2:
                del pairs[request]
                group.create_task(_forward(pair["data"], pair["error"], dial))

        session = spdy.Session(stream, accept)
        await session.run()
    stream.close()


async def _forward(data: spdy.SpdyStream, errors: spdy.SpdyStream, dial: Dial) -> None:
    try:
        port = int(data.headers.get("port", "0"))
        try:
            reader, writer = await dial(port)
        except OSError as error:
            await errors.write(f"an error occurred forwarding port {port}: {error}".encode())
            await errors.close()
            await data.close()
            return
        await _copy(reader, writer, data.read, data.write)
        await data.close()
        await errors.close()
    except ConnectionError:
        return


async def _channels(talk: channels.Channels, ports: Sequence[int], dial: Dial) -> None:
    """Each side of each pair begins with its port, little-endian."""
    for number, port in enumerate(ports):
        talk.open(2 * number)
        for channel in (2 * number, 2 * number + 1):
            await talk.send(channel, struct.pack("<H", port))
    reading = asyncio.ensure_future(talk.run())
    try:
        async with asyncio.TaskGroup() as group:
            for number, port in enumerate(ports):
                group.create_task(_channel(talk, number, port, dial))
    finally:
        reading.cancel()
        await asyncio.wait({reading})


async def _channel(talk: channels.Channels, number: int, port: int, dial: Dial) -> None:
    queue = talk.open(2 * number)
    try:
        reader, writer = await dial(port)
    except OSError as error:
        await talk.send(2 * number + 1, str(error).encode())
        return

    async def receive() -> bytes:
        return await queue.get() or b""

    async def send(data: bytes) -> None:
        await talk.send(2 * number, data)

    try:
        await _copy(reader, writer, receive, send)
        await talk.close()
    except ConnectionError:
        return


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    receive: Callable[[], Awaitable[bytes]],
    send: Callable[[bytes], Awaitable[None]],
) -> None:
    """Both ways, until the pod's side has ended and the client has all of it."""

    async def inward() -> None:
        while data := await receive():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    sending = asyncio.ensure_future(inward())
    try:
        while data := await reader.read(CHUNK):
            await send(data)
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        writer.close()
