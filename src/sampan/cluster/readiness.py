"""When a cluster is up: looked at from outside, over the same roads that a user takes.

Each check returns when it holds; whoever waits bounds the time. What a check last saw is in the
exception, so that a time-out can say what is missing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api.errors import ApiError
from sampan.api.kinds import NODES
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Request, Unreachable
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.linux.real import netns

INTERVAL_S = 0.01
PATIENCE_S = 0.1
"""For one try: before its rules are there, a Service's packets are lost without a word."""


class NotYet(Exception):
    """What is still missing, in one line."""


async def until(check: Callable[[], Awaitable[None]], deadline: float) -> None:
    """Repeat a check until it holds. Raises TimeoutError with what it last said."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await check()
        except NotYet as missing:
            if loop.time() > deadline:
                raise TimeoutError(str(missing)) from None
        await asyncio.sleep(INTERVAL_S)


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one cluster."""

    config: ClusterConfig
    paths: Paths
    client: Client

    async def api(self) -> None:
        try:
            reply = await self.client.raw(Request("GET", "/readyz"), timeout_s=2)
            body = await reply.read()
        except (Unreachable, ApiError) as error:
            raise NotYet(f"the API server does not answer: {error}") from None
        if reply.status != 200:
            raise NotYet(f"the API server is not ready: {body.decode(errors='replace')[:200]}")

    async def nodes(self) -> None:
        try:
            nodes = (await self.client.list(NODES))["items"]
        except (Unreachable, ApiError) as error:
            raise NotYet(f"cannot list nodes: {error}") from None
        ready = {node["metadata"]["name"] for node in nodes if is_ready(node)}
        missing = [name for name in self.config.node_names if name not in ready]
        if missing:
            raise NotYet(f"not Ready: {', '.join(missing)}")

    async def services(self) -> None:
        """The first Service answers on every node and from the host."""
        address = self.config.api_address
        for node in ("", *self.config.node_names):
            where = f"from {node}" if node else "from the host"
            try:
                await self._tls_hello(node, address)
            except OSError as error:
                raise NotYet(f"Service kubernetes ({address}:443) {where}: {error}") from None

    async def _tls_hello(self, node: str, address: str) -> None:
        sock = self._socket(node, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await loop.sock_connect(sock, (address, 443))
        except TimeoutError:
            raise OSError("no answer") from None
        finally:
            sock.close()

    def _socket(self, node: str, kind: socket.SocketKind) -> socket.socket:
        if not node:
            sock = socket.socket(socket.AF_INET, kind)
        else:
            with netns.inside(self.paths.netns(node)):
                sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        return sock

    async def dns(self) -> None:
        """The cluster DNS knows `kubernetes.default` on every node and from the host."""
        name = f"kubernetes.default.svc.{self.config.domain}"
        for node in ("", *self.config.node_names):
            sock = self._socket(node, socket.SOCK_DGRAM)
            try:
                answer = await exchange(sock, (self.config.dns_address, 53), question(name))
            except (OSError, TimeoutError) as error:
                where = f"from {node}" if node else "from the host"
                raise NotYet(f"cluster DNS {where}: {str(error) or 'no answer'}") from None
            finally:
                sock.close()
            if not answer.endswith(socket.inet_aton(self.config.api_address)):
                raise NotYet(f"cluster DNS does not know {name} yet")


def is_ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def question(name: str) -> bytes:
    """A query for an A record (RFC 1035 §4.1)."""
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    head = os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0)
    return head + labels + struct.pack("!BHH", 0, 1, 1)


async def exchange(sock: socket.socket, to: tuple[str, int], query: bytes) -> bytes:
    """One query, one answer. Raises OSError (refused), TimeoutError."""
    loop = asyncio.get_running_loop()
    sock.connect(to)
    await loop.sock_sendall(sock, query)
    async with asyncio.timeout(PATIENCE_S):
        return await loop.sock_recv(sock, 4096)
