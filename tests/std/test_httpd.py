"""The HTTP server over loopback, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sampan.std.http import Detach, Feed, Handler, Request, Response, Sink, Stream
from sampan.std.httpd import Limits, Server, listener, serve


@asynccontextmanager
async def serving(
    handler: Handler, *, tls: ssl.SSLContext | None = None, limits: Limits | None = None
) -> AsyncIterator[Server]:
    server = await serve(handler, sock=listener("127.0.0.1", 0), tls=tls, limits=limits)
    try:
        yield server
    finally:
        await server.close()


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {request.query} {request.body.decode()}"
    return Response(200, {"content-type": "text/plain"}, text.encode())


async def talk(port: int, data: bytes, until: bytes = b"") -> bytes:
    """Send, then read to the end (or until some bytes were seen)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            if until:
                return await reader.readuntil(until)
            return await reader.read()
    finally:
        writer.close()


async def test_a_request_is_answered_and_the_connection_kept() -> None:
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"POST /a%2Fb?x=%20 HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"content-length: 20\r\n" in head
            assert await reader.readexactly(20) == b"POST /a%2Fb x=%20 hi"
        writer.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def slow_first(request: Request) -> Response:
        if request.path == "/1":
            await asyncio.sleep(0.01)
        return Response(200, {}, request.path.encode())

    async with serving(slow_first) as server:
        wanted = b"".join(b"GET /%d HTTP/1.1\r\nhost: h\r\n\r\n" % i for i in range(1, 40))
        last = b"GET /40 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
        got = await talk(server.port, wanted + last)
    places = [got.index(b"\r\n\r\n/%d" % i) for i in range(1, 41)]
    assert places == sorted(places)


async def test_an_iterator_is_sent_in_chunks() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(200, {}, parts())

    async with serving(handler) as server:
        got = await talk(server.port, b"GET / HTTP/1.0\r\n\r\n")
    assert got.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_a_feed_is_pushed_and_detached_when_the_peer_goes() -> None:
    sinks: list[Sink] = []
    gone = asyncio.Event()

    def attach(sink: Sink) -> Detach:
        sinks.append(sink)
        sink.send(b"first")
        return gone.set

    async def handler(request: Request) -> Response:
        return Response(200, {}, Feed(attach))

    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await reader.readuntil(b"5\r\nfirst\r\n")
        sinks[0].send(b"next")
        await reader.readuntil(b"4\r\nnext\r\n")
        writer.close()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_feed_can_also_be_read_as_an_iterator() -> None:
    def attach(sink: Sink) -> Detach:
        sink.send(b"a")
        sink.send(b"b")
        sink.end()
        return lambda: None

    assert await Response(200, {}, Feed(attach)).read() == b"ab"


async def test_a_stream_stops_when_the_peer_goes() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, {}, endless())

    async with serving(handler) as server:
        await talk(server.port, b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", b"1\r\nx\r\n")
        async with asyncio.timeout(5):
            await ended.wait()


async def test_an_upgraded_connection_passes_bytes_both_ways() -> None:
    async def mirror(stream: Stream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())

    async def handler(request: Request) -> Response:
        return Response(101, {"connection": "Upgrade", "upgrade": "x"}, upgrade=mirror)

    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nearly")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 Switching")
        assert await reader.readexactly(5) == b"EARLY"
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_an_upgrade_that_is_refused_ends_the_connection_with_the_answer() -> None:
    async with serving(echo) as server:
        got = await talk(
            server.port,
            b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        )
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in got


async def test_a_head_request_has_a_length_and_no_body() -> None:
    async with serving(echo) as server:
        got = await talk(server.port, b"HEAD / HTTP/1.0\r\n\r\n")
    assert b"content-length: 8\r\n" in got
    assert got.endswith(b"\r\n\r\n")


async def test_continue_is_sent_before_a_body_that_waits_for_it() -> None:
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PUT / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\ncontent-length: 200\r\n\r\n" + b"z" * 200, b"413"),
    ],
)
async def test_what_is_not_a_decent_request_is_refused(data: bytes, status: bytes) -> None:
    async with serving(echo, limits=Limits(body_bytes=100)) as server:
        got = await talk(server.port, data)
    assert got.startswith(b"HTTP/1.1 " + status)


async def test_a_request_that_never_ends_is_refused_and_an_idle_peer_is_closed() -> None:
    async with serving(echo, limits=Limits(head_s=5, idle_s=9)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTT")
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        while len(server.connections) < 2 or not any(  # noqa: ASYNC110 - bytes are no event
            c.reading_request for c in server.connections
        ):
            await asyncio.sleep(0)
        later = asyncio.get_running_loop().time() + 6
        for connection in list(server.connections):
            connection.check_deadlines(later)
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        for connection in list(server.connections):
            connection.check_deadlines(later + 4)
        assert await idle_reader.read() == b""
        writer.close()
        idle_writer.close()


async def test_a_handler_that_fails_is_a_500_and_the_connection_lives() -> None:
    async def broken(request: Request) -> Response:
        raise KeyError("x")

    async with serving(broken) as server:
        got = await talk(server.port, b"GET / HTTP/1.1\r\n\r\n" * 2, b"internal error\n")
    assert got.startswith(b"HTTP/1.1 500")


async def test_closing_lets_a_running_answer_finish() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        entered.set()
        await leave.wait()
        return Response(200, {}, b"done")

    server = await serve(slow, sock=listener("127.0.0.1", 0))
    answer = asyncio.create_task(talk(server.port, b"GET / HTTP/1.1\r\n\r\n"))
    await entered.wait()
    closing = asyncio.create_task(server.close(grace_s=5))
    await asyncio.sleep(0)
    leave.set()
    await closing
    assert (await answer).endswith(b"\r\n\r\ndone")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    crt, pem = folder / f"{name}.crt", folder / f"{name}.key"
    crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return crt, pem


async def test_tls_hands_on_a_verified_client_certificate(tmp_path: Path) -> None:
    crt, key = certificate(tmp_path, "one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    context.load_verify_locations(crt)
    context.verify_mode = ssl.CERT_OPTIONAL
    seen: list[bytes | None] = []

    async def note(request: Request) -> Response:
        seen.append(request.certificate)
        return Response(200, {}, b"ok")

    async with serving(note, tls=context) as server:
        for with_certificate in (False, True):
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname = False
            client.load_verify_locations(crt)
            if with_certificate:
                client.load_cert_chain(crt, key)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client)
            writer.write(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"ok")
            writer.close()
            await writer.wait_closed()
    assert seen[0] is None
    assert seen[1] == ssl.PEM_cert_to_DER_cert(crt.read_text())


async def test_who_was_accepted_in_the_last_moment_is_not_kept() -> None:
    server = await serve(echo, sock=listener("127.0.0.1", 0))
    with socket.create_connection(("127.0.0.1", server.port)) as late:
        late.setblocking(False)
        # Accepted, but its protocol is made in a later turn of the loop.
        while not asyncio.all_tasks() - {asyncio.current_task(), server.sweeper}:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await server.close(0)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(late, 1) == b""
    assert not server.connections
