from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.api import kinds
from sampan.api.errors import Conflict, Expired, Forbidden, NotFound
from sampan.client.client import Client, PatchKind
from sampan.client.http import HttpTransport
from sampan.client.inproc import InProcTransport
from sampan.client.transport import Unreachable
from sampan.std.http import Request, Response
from sampan.std.httpd import listener, serve


@asynccontextmanager
async def served(handler: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[HttpTransport]:
    server = await serve(handler, sock=listener("127.0.0.1", 0))
    transport = HttpTransport(f"http://127.0.0.1:{server.port}")
    try:
        yield transport
    finally:
        await transport.close()
        await server.close()


async def test_a_request_arrives_as_it_was_sent_and_connections_are_kept() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, {"content-type": "application/json"}, b'{"a": 1}')

    async with served(handler) as transport:
        client = Client(transport, user_agent="test/1", token=lambda: "secret")
        for _ in range(3):
            body = {"metadata": {"name": "x"}}
            await client.patch(kinds.PODS, "x", body, namespace="ns", kind=PatchKind.STRATEGIC)
        assert len({request.peer for request in seen}) == 1
        (request, *_) = seen
        assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/ns/pods/x")
        assert request.headers["content-type"] == "application/strategic-merge-patch+json"
        assert request.headers["authorization"] == "Bearer secret"
        assert request.headers["user-agent"] == "test/1"
        assert request.body == b'{"metadata":{"name":"x"}}'


async def test_bodies_of_any_size_come_whole() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, b"x" * int(request.query))

    async with served(handler) as transport:
        for size in (0, 1, 70_000, 5_000_000):
            response = await transport.request(Request("GET", "/", str(size)))
            assert len(await response.read()) == size


async def test_many_requests_at_once() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(0.001)
        return Response(200, {}, request.query.encode())

    async with served(handler) as transport:

        async def ask(number: int) -> bytes:
            return await (await transport.request(Request("GET", "/", str(number)))).read()

        answers = await asyncio.gather(*(ask(n) for n in range(100)))
        assert answers == [str(n).encode() for n in range(100)]


async def test_errors_are_the_servers() -> None:
    async def handler(request: Request) -> Response:
        error = Conflict("changed") if request.method == "PUT" else NotFound("no")
        import orjson

        return Response(error.code, {}, orjson.dumps(error.status()))

    async with served(handler) as transport:
        client = Client(transport)
        with pytest.raises(Conflict, match="changed"):
            await client.update(kinds.PODS, {"metadata": {"name": "a", "namespace": "b"}})
        assert await client.find(kinds.PODS, "a", "b") is None
        assert await client.delete(kinds.PODS, "a", "b") is None


async def test_an_answer_that_is_no_status_still_has_its_code() -> None:
    async def handler(request: Request) -> Response:
        return Response(403, {}, b"go away")

    async with served(handler) as transport:
        with pytest.raises(Forbidden, match="go away"):
            await Client(transport).get(kinds.NODES, "n")


async def test_a_watch_streams_and_closing_it_ends_it_at_the_server() -> None:
    ended = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":"MODI'
            yield b'FIED","object":{"metadata":{"name":"b"}}}\n'
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        assert "allowWatchBookmarks=true" in request.query
        return Response(200, {}, lines())

    async with served(handler) as transport:
        watch = Client(transport).watch(kinds.PODS, resource_version="1")
        names = [(await anext(watch)).object["metadata"]["name"] for _ in range(2)]
        assert names == ["a", "b"]
        await watch.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(ended.wait(), 5)


async def test_an_error_event_is_raised() -> None:
    async def handler(request: Request) -> Response:
        import orjson

        return Response(
            200, {}, orjson.dumps({"type": "ERROR", "object": Expired("old").status()}) + b"\n"
        )

    for transport in (InProcTransport(handler),):
        with pytest.raises(Expired):
            await anext(Client(transport).watch(kinds.PODS, resource_version="1"))


async def test_nobody_there_is_unreachable_and_says_where() -> None:
    sock = listener("127.0.0.1", 0)
    port = sock.getsockname()[1]
    sock.close()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        await HttpTransport(f"http://127.0.0.1:{port}").request(Request("GET", "/"))


async def test_silence_has_a_deadline() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(10)
        return Response(200)

    async with served(handler) as transport:
        with pytest.raises(Unreachable, match="no answer in"):
            await transport.request(Request("GET", "/"), timeout_s=0.01)


async def test_a_connection_that_died_idle_is_replaced() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = HttpTransport(f"http://127.0.0.1:{port}")
    for _ in range(3):
        response = await transport.request(Request("GET", "/"))
        assert await response.read() == b"ok"
    assert len(connections) == 3
    await transport.close()
    server.close()
    await server.wait_closed()
