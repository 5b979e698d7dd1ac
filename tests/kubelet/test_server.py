"""The kubelet's port: logs, exec, attach and port-forward in every protocol, over fakes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.kubelet.server import spdy
from sampan.kubelet.server.auth import Gate, subresources_of
from sampan.kubelet.server.server import KubeletServer
from sampan.kubelet.settings import Server
from sampan.linux.fake.cgroups import FakeCgroups
from sampan.std import websocket as ws
from sampan.std.clock import SystemClock
from sampan.std.http import Request, Response
from tests.kubelet.bench import Bench, app

OPEN = Server(anonymous=True, always_allow=True)


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


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    bench = Live(tmp_path)
    async with bench.running():
        bench.pod("p", app("c", "serve"))
        await bench.ready()
        yield bench


LOGS = "/containerLogs/default/p/c"


async def test_logs_with_their_options(live: Live) -> None:
    live.runtime.write(live.running_id(), "one\ntwo\n")
    live.runtime.write(live.running_id(), "err\n", "stderr")
    assert await live.text(LOGS) == "one\ntwo\nerr\n"
    assert await live.text(LOGS, "tailLines=2") == "two\nerr\n"
    assert await live.text(LOGS, "limitBytes=5") == "one\nt"
    assert await live.text(LOGS, "stream=Stderr") == "err\n"
    stamped = await live.text(LOGS, "timestamps=true&tailLines=1")
    assert stamped.endswith("Z err\n")


async def test_a_followed_log_ends_with_its_container(live: Live) -> None:
    container = live.running_id()
    live.runtime.write(container, "one\n")
    following = asyncio.create_task(live.text(LOGS, "follow=true"))
    await asyncio.sleep(0.02)
    live.runtime.write(container, "two\n")
    live.runtime.finish(container, 0)
    assert await following == "one\ntwo\n"


async def test_logs_that_are_not_there_say_why(live: Live) -> None:
    answer = await live.ask("/containerLogs/default/none/c")
    assert (answer.status, await answer.read()) == (404, b'pod "none" not found\n')
    answer = await live.ask("/containerLogs/default/p/none")
    assert answer.status == 404
    answer = await live.ask(LOGS, "previous=true")
    want = b'previous terminated container "c" in pod "p" not found\n'
    assert (answer.status, await answer.read()) == (400, want)
    live.pod("q", app("c", image="nginx"))
    await asyncio.sleep(0.05)
    answer = await live.ask("/containerLogs/default/q/c")
    assert answer.status == 400
    assert b'container "c" in pod "q" is waiting to start: ' in await answer.read()


async def test_the_log_of_the_run_before(live: Live) -> None:
    first = live.running_id()
    live.runtime.write(first, "first\n")
    live.runtime.finish(first, 1)
    async with asyncio.timeout(5):
        while live.container()["restartCount"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    live.runtime.write(live.running_id(), "second\n")
    assert await live.text(LOGS) == "second\n"
    assert await live.text(LOGS, "previous=true") == "first\n"


# -- exec over WebSocket


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
                        self._take(frame)
        return self.channels

    def _take(self, frame: ws.Frame) -> None:
        channel, data = frame.payload[0], frame.payload[1:]
        if frame.opcode == ws.TEXT:
            import base64

            channel, data = channel - ord("0"), base64.b64decode(data)
        self.channels[channel] = self.channels.get(channel, b"") + data


async def talk(live: Live, path: str, query: str, protocol: str = "v5.channel.k8s.io") -> Talk:
    headers = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "x"}
    if protocol:
        headers["sec-websocket-protocol"] = protocol
    response = await live.ask(path, query, **headers)
    assert response.status == 101, response.body
    return Talk(response)


EXEC = "/exec/default/p/c"


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_tells_output_and_exit_code(live: Live, protocol: str) -> None:
    session = await talk(live, EXEC, "command=echo&command=hi&output=1&error=1", protocol)
    assert session.response.headers["sec-websocket-protocol"] == protocol
    found = await session.listen()
    assert found[1] == b"hi\n"
    assert json.loads(found[3]) == {"metadata": {}, "status": "Success"}
    session = await talk(live, EXEC, "command=exit&command=7&output=1", protocol)
    status = json.loads((await session.listen())[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_exec_in_the_older_protocols(live: Live) -> None:
    query = "command=echo&command=hi&output=1"
    assert await (await talk(live, EXEC, query, "channel.k8s.io")).listen() == {1: b"hi\n"}
    assert await (await talk(live, EXEC, query, "")).listen() == {1: b"hi\n"}
    found = await (await talk(live, EXEC, query, "base64.channel.k8s.io")).listen()
    assert found == {1: b"hi\n"}
    found = await (await talk(live, EXEC, "command=exit&command=3&output=1", "")).listen()
    assert b"exit status 3" in found[3]


async def test_input_ends_with_the_close_of_its_channel(live: Live) -> None:
    session = await talk(live, EXEC, "command=cat&input=1&output=1")
    await session.send(0, b"some ")
    await session.send(0, b"words")
    await session.send(255, b"\x00")
    assert (await session.listen())[1] == b"some words"


async def test_much_output_arrives_whole_at_a_slow_client(live: Live) -> None:
    session = await talk(live, EXEC, "command=cat&input=1&output=1")
    data = bytes(range(256)) * 4096

    async def feed() -> None:
        for start in range(0, len(data), 50_000):
            await session.send(0, data[start : start + 50_000])
        await session.send(255, b"\x00")

    feeding = asyncio.create_task(feed())
    assert (await session.listen())[1] == data
    await feeding


async def test_a_terminal(live: Live) -> None:
    session = await talk(live, EXEC, "command=echo&command=hi&input=1&output=1&tty=1")
    await session.send(4, b'{"Width":100,"Height":40}')
    found = await session.listen()
    assert found[1] == b"hi\r\n"


async def test_a_command_that_is_not_there(live: Live) -> None:
    session = await talk(live, EXEC, "command=nosuch&output=1")
    status = json.loads((await session.listen())[3])
    assert status["code"] == 500
    assert "nosuch" in status["message"]


async def test_a_client_that_leaves_ends_its_command(live: Live) -> None:
    session = await talk(live, EXEC, "command=sleep&command=1000&output=1")
    await asyncio.sleep(0.01)
    session.pipe.close()
    async with asyncio.timeout(5):
        await session.task


async def test_what_cannot_be_upgraded(live: Live) -> None:
    answer = await live.ask(EXEC, "command=true")
    assert (answer.status, await answer.read()) == (400, b"Upgrade request required\n")
    answer = await live.ask(EXEC, "")
    assert answer.status == 400
    headers = {"upgrade": "websocket", "sec-websocket-key": "x", "sec-websocket-protocol": "z"}
    assert (await live.ask(EXEC, "command=true", **headers)).status == 400


async def test_attach_shows_what_comes_from_now_on(live: Live) -> None:
    session = await talk(live, "/attach/default/p/c", "output=1&error=1")
    await asyncio.sleep(0.01)
    live.runtime.write(live.running_id(), "out\n")
    live.runtime.write(live.running_id(), "err\n", "stderr")
    live.runtime.finish(live.running_id(), 0)
    found = await session.listen()
    assert (found[1], found[2]) == (b"out\n", b"err\n")


# -- SPDY


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


async def test_exec_over_spdy(live: Live) -> None:
    version = {"x-stream-protocol-version": "v5.channel.k8s.io,v4.channel.k8s.io"}
    query = "command=cat&input=1&output=1"
    async with upgraded(live, EXEC, query, **version) as client:
        for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
            await client.open(number, streamtype=kind)
        await client.send(3, b"words")
        await client.send(3, b"", fin=True)
        await client.listen({1, 5})
    assert client.data[5] == b"words"
    assert json.loads(client.data[1])["status"] == "Success"


async def test_an_unknown_spdy_protocol_is_refused(live: Live) -> None:
    headers = {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "v9"}
    answer = await live.server.handle(Request("POST", EXEC, "command=true", headers))
    assert answer.status == 403


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    assert (len(spdy.dictionary()), zlib.adler32(spdy.dictionary())) == (1423, 0xE3C6A7C2)


# -- port-forward


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data.upper())
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with made:
        yield made.sockets[0].getsockname()[1]
        await asyncio.sleep(0.01)


FORWARD = "/portForward/default/p"


async def test_port_forward_over_spdy(live: Live) -> None:
    async with echo_server() as port, upgraded(live, FORWARD, "") as client:
        await client.open(1, streamtype="error", port=str(port), requestid="0")
        await client.open(3, streamtype="data", port=str(port), requestid="0")
        await client.send(3, b"hello", fin=True)
        await client.listen({1, 3})
    assert client.data[3] == b"HELLO"


async def test_port_forward_to_a_closed_port_says_so(live: Live) -> None:
    async with upgraded(live, FORWARD, "") as client:
        await client.open(1, streamtype="error", port="1", requestid="0")
        await client.open(3, streamtype="data", port="1", requestid="0")
        await client.listen({1, 3})
    assert b"forwarding port 1: " in client.data[1]
    assert b"connection refused" in client.data[1]


async def test_port_forward_in_a_tunnel(live: Live) -> None:
    async with echo_server() as port:
        session = await talk(live, FORWARD, "", "SPDY/3.1+portforward.k8s.io")
        client = SpdyClient(TunnelEnd(session))
        await client.open(1, streamtype="error", port=str(port), requestid="0")
        await client.open(3, streamtype="data", port=str(port), requestid="0")
        await client.send(3, b"hello", fin=True)
        await client.listen({1, 3})
        session.pipe.close()
        await session.task
    assert client.data[3] == b"HELLO"


class TunnelEnd:
    """The client's end of a tunnel: bytes in binary messages."""

    def __init__(self, session: Talk) -> None:
        self.session = session

    async def write(self, data: bytes) -> None:
        await self.session.pipe.write(ws.encode(ws.Frame(ws.BINARY, data), mask=True))

    async def read(self) -> bytes:
        frames = self.session.decoder.feed(await self.session.pipe.read())
        return b"".join(frame.payload for frame in frames if frame.opcode == ws.BINARY)


async def test_port_forward_over_channels(live: Live) -> None:
    async with echo_server() as port:
        session = await talk(live, FORWARD, f"port={port}", "v4.channel.k8s.io")
        await session.send(0, b"hello")
        async with asyncio.timeout(5):
            while b"HELLO" not in session.channels.get(0, b""):
                for frame in session.decoder.feed(await session.pipe.read()):
                    session._take(frame)
        session.pipe.close()
        await session.task
    assert session.channels[0] == struct.pack("<H", port) + b"HELLO"
    assert session.channels[1] == struct.pack("<H", port)


# -- pages and who may see them


async def test_pages(live: Live) -> None:
    assert await live.text("/healthz") == "ok"
    assert json.loads(await live.text("/pods"))["items"][0]["metadata"]["name"] == "p"
    live.cgroups.ensure(live.runtime.containers[live.running_id()].spec.cgroup, _limits())
    summary = json.loads(await live.text("/stats/summary"))
    assert summary["node"]["nodeName"] == "n1"
    assert summary["pods"][0]["containers"][0]["name"] == "c"
    cadvisor = await live.text("/metrics/cadvisor")
    assert 'container_memory_usage_bytes{container="c",' in cadvisor
    assert "container_start_time_seconds" in await live.text("/metrics/resource")
    own = await live.text("/metrics")
    assert 'kubelet_running_containers{container_state="running"} 1' in own
    assert (await live.ask("/nosuch")).status == 404


def _limits() -> Any:
    from sampan.linux.base.processes import Limits

    return Limits()


class Reviews:
    """An API server that knows one token and one right."""

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        body: Json = json.loads(request.body)
        if request.path.endswith("/tokenreviews"):
            good = body["spec"]["token"] == "good"
            status: Json = {"authenticated": good, "user": {"username": "u", "groups": ["g"]}}
        else:
            wanted = body["spec"]["resourceAttributes"]
            may = wanted["subresource"] in ("stats", "configz")
            status = {"allowed": may and body["spec"]["user"] == "u"}
        return Response(201, {}, json.dumps({"status": status}).encode())

    async def close(self) -> None: ...


async def test_strangers_are_kept_out_and_others_asked_about() -> None:
    gate = Gate(Client(Reviews()), "n1", SystemClock(), Server())

    async def status(path: str, token: str = "") -> int:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        refused = await gate.refusal(Request("GET", path, headers=headers))
        return refused[0] if refused else 200

    assert await status("/healthz") == 200
    assert await status("/pods") == 401
    assert await status("/pods", "bad") == 401
    assert await status("/stats/summary", "good") == 200
    assert await status("/exec/a/b/c", "good") == 403
    assert await status("/configz", "good") == 200, "without nodes/proxy"
    assert await status("/pods", "good") == 403
    assert subresources_of("/metrics/cadvisor") == ("metrics",)
    assert subresources_of("/pods") == ("pods", "proxy")
    assert subresources_of("/podsandmore") == ("proxy",)
