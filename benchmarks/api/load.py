"""A load generator that costs little itself: raw protocol, no parser beyond the content length."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length: "


@dataclass
class Tally:
    """What a run came to."""

    done: int = 0
    failed: int = 0
    bytes: int = 0
    latencies: list[float] = field(default_factory=list)


class Repeater(asyncio.Protocol):
    """One connection: sends the next request when the last one is answered."""

    def __init__(self, make: Callable[[], bytes], tally: Tally) -> None:
        self.make = make
        self.tally = tally
        self.buffer = b""
        self.wanted = 0
        self.sent = 0.0
        self.stopped = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if self.stopped:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(self.make())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if not self.wanted:
            end = self.buffer.find(END_OF_HEAD)
            if end < 0:
                return
            at = self.buffer.index(LENGTH) + len(LENGTH)
            length = int(self.buffer[at : self.buffer.index(b"\r\n", at)])
            self.wanted = end + 4 + length
        if len(self.buffer) < self.wanted:
            return
        self.tally.done += 1
        self.tally.bytes += self.wanted
        self.tally.latencies.append(time.perf_counter() - self.sent)
        if self.buffer[9:10] != b"2":
            self.tally.failed += 1
        self.buffer, self.wanted = b"", 0
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


async def repeat(
    port: int, tls: ssl.SSLContext, make: Callable[[], bytes], connections: int, seconds: float
) -> Tally:
    """So many connections, each asking again and again."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    made = [
        await loop.create_connection(lambda: Repeater(make, tally), "127.0.0.1", port, ssl=tls)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for _, protocol in made:
        protocol.stopped = True
    await asyncio.wait([protocol.lost for _, protocol in made], timeout=5)
    return tally


class Watcher(asyncio.Protocol):
    """Counts the events of one watch and notes when they came."""

    def __init__(self, request: bytes, arrivals: list[float]) -> None:
        self.request = request
        self.arrivals = arrivals
        self.events = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        count = data.count(b'{"type":"')
        if count:
            self.events += count
            self.arrivals.extend([time.perf_counter()] * count)
        if not self.ready.done():
            self.ready.set_result(None)


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        "accept: application/json\r\nuser-agent: load/1\r\n"
    )
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
