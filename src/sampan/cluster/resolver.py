"""The way out for names: what a node's pods ask at the node's address goes to the host's resolvers.

    pod (dnsPolicy Default, or the cluster DNS) ── node address, port 53 ── this process ── resolver

The sockets towards the pods are made inside each node's namespace, those towards the resolvers in
the host's; so neither forwarding nor masquerading of the host is needed, and a resolver at
127.0.0.53 works, too. Messages pass unread but for their ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import cast

from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.linux.real import netns

RESOLV_CONF = Path("/etc/resolv.conf")
PORT, TIMEOUT_S, MOST_WAITING = 53, 4.0, 1000
SERVFAIL = 2


class HostResolvers:
    """The `nameserver` lines of resolv.conf(5), read again when the file changes."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self.path, self.stamp = path, (0, 0)
        self.servers: tuple[str, ...] = ()

    def now(self) -> tuple[str, ...]:
        with contextlib.suppress(FileNotFoundError):
            status = self.path.stat()
            if (stamp := (status.st_mtime_ns, status.st_ino)) != self.stamp:
                self.servers, self.stamp = nameservers(self.path.read_text()), stamp
        return self.servers


def nameservers(text: str) -> tuple[str, ...]:
    """At most three, as the C library has it; the loopback where none is named."""
    found = [
        words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"]
        and len(words) > 1
    ]  # fmt: skip
    return tuple(found[:3]) or ("127.0.0.1",)


def search_domains(text: str) -> str:
    """The `search` line that pods with dnsPolicy Default inherit, or nothing."""
    lines = [line for line in text.splitlines() if line.startswith(("search ", "domain "))]
    return "search " + lines[-1].split(maxsplit=1)[1] + "\n" if lines else ""


def failure(query: bytes) -> bytes:
    """SERVFAIL for a query (RFC 1035 §4.1.1): its ID and question, nothing else."""
    flags = struct.unpack_from("!H", query, 2)[0]
    return query[:2] + struct.pack("!H", 0x8000 | flags & 0x7900 | SERVFAIL) + query[4:]


class _Upstream(asyncio.DatagramProtocol):
    """Waits for one answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Relay(asyncio.DatagramProtocol):
    """One node's UDP port 53."""

    def __init__(self, resolvers: HostResolvers) -> None:
        self.resolvers = resolvers
        self.waiting: set[asyncio.Task[None]] = set()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        # Beyond the bound the query is dropped: its sender asks again, we stay small.
        if len(data) >= 12 and len(self.waiting) < MOST_WAITING:
            task = asyncio.get_running_loop().create_task(self._relay(data, addr))
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)

    async def _relay(self, query: bytes, client: tuple[str, int]) -> None:
        answer = failure(query)
        for server in self.resolvers.now():
            with contextlib.suppress(OSError, TimeoutError):
                answer = await ask(server, query)
                break
        if self.transport is not None:
            self.transport.sendto(answer, client)


async def ask(server: str, query: bytes, *, port: int = PORT) -> bytes:
    """One exchange over UDP with a fresh ID and port. Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    identity = os.urandom(2)
    transport, waiter = await loop.create_datagram_endpoint(_Upstream, remote_addr=(server, port))
    try:
        transport.sendto(identity + query[2:])
        async with asyncio.timeout(TIMEOUT_S):
            answer = await waiter.answer
        if answer[:2] != identity:
            raise OSError(f"{server} answered another question")
        return query[:2] + answer[2:]
    finally:
        transport.close()


async def connect(
    resolvers: HostResolvers,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A TCP connection to the first resolver that takes one."""
    for server in resolvers.now():
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.open_connection(server, PORT)
    return None


async def splice(
    resolvers: HostResolvers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One TCP connection, passed on whole."""
    far = await connect(resolvers)
    try:
        if far is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far[1]))
                group.create_task(_copy(far[0], writer))
    finally:
        writer.close()
        if far is not None:
            far[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def _sockets(path: str, address: str) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP at a node's address, made inside its namespace."""
    with netns.inside(path):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.bind((address, PORT))
    tcp.bind((address, PORT))
    tcp.listen(64)
    return udp, tcp


async def serve(config: ClusterConfig, paths: Paths) -> None:
    loop = asyncio.get_running_loop()
    resolvers = HostResolvers()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await splice(resolvers, reader, writer)

    for node in config.node_names:
        udp, tcp = _sockets(paths.netns(node), config.node_address(node))
        await loop.create_datagram_endpoint(lambda: Relay(resolvers), sock=udp)
        await asyncio.start_server(accept, sock=tcp)
    await asyncio.Event().wait()


def main(config: ClusterConfig, paths: Paths, node: str) -> int:
    asyncio.run(serve(config, paths))
    return 0
