"""HTTP/2 with the server: a client of the same package, with windows as small as we like."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded
from h2.settings import SettingCodes

from sampan.std.http import Request, Response
from sampan.std.httpd import Limits, listener, serve
from tests.std.test_httpd import certificate

HEAD = [(":method", "GET"), (":path", "/x?y=1"), (":scheme", "https"), (":authority", "here")]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()

    def send(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def until(self, true: Callable[[Event], bool]) -> list[Event]:
        """Everything up to the event that is waited for, or the end."""
        seen: list[Event] = []
        async with asyncio.timeout(5):
            while data := await self.reader.read(65536):
                fresh = self.h2.receive_data(data)
                seen += fresh
                self.send()
                if any(map(true, fresh)):
                    break
        return seen


@asynccontextmanager
async def served(folder: Path, handler: object, **limits: float) -> AsyncIterator[Client]:
    cert, key = certificate(folder, "here")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    sock = listener("127.0.0.1", 0)
    made = Limits(**limits)  # type: ignore[arg-type]
    server = await serve(handler, sock=sock, tls=tls, limits=made, http2=True)  # type: ignore[arg-type]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await server.close()


async def mirror(request: Request) -> Response:
    text = f"{request.method} {request.path} {request.query} {request.headers['host']} "
    return Response(200, {"Content-Type": "text/plain"}, text.encode() + request.body)


def ended(number: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, StreamEnded) and event.stream_id == number


def body(events: list[Event], number: int) -> bytes:
    parts = [e.data for e in events if isinstance(e, DataReceived) and e.stream_id == number]
    return b"".join(parts)


async def test_requests_are_answered_on_their_streams_as_they_are_ready(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.body == b"first":
            await gate.wait()
        return await mirror(request)

    async with served(tmp_path, handler) as client:
        post = [(":method", "POST"), *HEAD[1:]]
        for number, text in ((1, b"first"), (3, b"second")):
            client.h2.send_headers(number, post)
            client.h2.send_data(number, text, end_stream=True)
        client.send()
        events = await client.until(ended(3))
        assert body(events, 3) == b"POST /x y=1 here second"
        assert body(events, 1) == b""
        head = next(e for e in events if isinstance(e, ResponseReceived))
        assert dict(head.headers) == {
            ":status": "200", "content-type": "text/plain", "content-length": "23",
        }  # fmt: skip
        gate.set()
        assert body(await client.until(ended(1)), 1) == b"POST /x y=1 here first"


async def test_an_answer_waits_for_the_peer_s_window(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, b"x" * 100_000)

    async with served(tmp_path, handler) as client:
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
        client.h2.send_headers(1, HEAD, end_stream=True)
        client.send()
        events = await client.until(lambda e: isinstance(e, DataReceived))
        got = len(body(events, 1))
        while got < 100_000:
            client.h2.increment_flow_control_window(40_000, 1)
            client.h2.increment_flow_control_window(40_000)
            client.send()
            wanted = min(100_000, got + 30_000)
            while got < wanted:
                events = await client.until(lambda e: isinstance(e, DataReceived))
                got += len(body(events, 1))
        assert got == 100_000


async def test_a_peer_that_only_gives_up_is_sent_away(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with served(tmp_path, handler) as client:
        for turn in range(300):
            client.h2.send_headers(2 * turn + 1, HEAD, end_stream=True)
            client.h2.reset_stream(2 * turn + 1)
        client.send()
        events = await client.until(lambda e: isinstance(e, ConnectionTerminated))
        assert any(isinstance(event, ConnectionTerminated) for event in events)


async def test_a_body_beyond_the_bound_and_a_failing_handler_end_one_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        if request.method == "DELETE":
            raise ValueError("no")
        return await mirror(request)

    async with served(tmp_path, handler, body_bytes=100) as client:
        client.h2.send_headers(1, [(":method", "POST"), *HEAD[1:]])
        client.h2.send_data(1, b"x" * 101)
        client.h2.send_headers(3, [(":method", "DELETE"), *HEAD[1:]], end_stream=True)
        client.h2.send_headers(5, HEAD, end_stream=True)
        client.send()
        events = await client.until(ended(5))
        assert body(events, 3) == b"internal error\n"
        assert body(events, 5).startswith(b"GET /x")
        assert {type(e).__name__ for e in events} >= {"StreamReset"}
    assert "/x" in caplog.text


async def test_what_is_no_http_2_ends_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(5):
            while await client.reader.read(65536):
                pass
