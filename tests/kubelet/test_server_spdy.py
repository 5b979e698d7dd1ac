"""The kubelet's port over SPDY, and port-forward in every protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import zlib
from collections.abc import AsyncIterator

from sampan.kubelet.server import spdy
from sampan.std.http import Request
from tests.kubelet.port import EXEC, Live, SpdyClient, TunnelEnd, talk, upgraded


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


async def test_port_forward_over_channels(live: Live) -> None:
    async with echo_server() as port:
        session = await talk(live, FORWARD, f"port={port}", "v4.channel.k8s.io")
        await session.send(0, b"hello")
        async with asyncio.timeout(5):
            while b"HELLO" not in session.channels.get(0, b""):
                for frame in session.decoder.feed(await session.pipe.read()):
                    session.take(frame)
        session.pipe.close()
        await session.task
    assert session.channels[0] == struct.pack("<H", port) + b"HELLO"
    assert session.channels[1] == struct.pack("<H", port)
