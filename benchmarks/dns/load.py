"""The load: queries sent in batches, a window of them under way, answers counted.

`python -m benchmarks.dns.load PORT SECONDS QUERIES` prints a line of JSON. Batches go through
sendmmsg and recvmmsg, so that one core of load is more than one core of server can take.
"""

from __future__ import annotations

import ctypes
import json
import random
import socket
import struct
import sys
import time
from pathlib import Path

BATCH = 64
WINDOW = 256
SLOT = 4096
DONTWAIT = 0x40


class Headers:
    """BATCH message headers over one buffer each; connected sockets need no addresses."""

    def __init__(self, slot: int) -> None:
        self.data = bytearray(BATCH * slot)
        self.vectors = bytearray(BATCH * 16)
        self.headers = bytearray(BATCH * 64)
        self.words = memoryview(self.headers).cast("Q")
        self.vector_words = memoryview(self.vectors).cast("Q")
        for i in range(BATCH):
            self.vector_words[2 * i] = _address(self.data) + i * slot
            self.vector_words[2 * i + 1] = slot
            self.words[8 * i + 2] = _address(self.vectors) + 16 * i
            self.words[8 * i + 3] = 1
        self.at = ctypes.c_void_p(_address(self.headers))


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Sender:
    """Points the headers at ready-made queries, in turn."""

    def __init__(self, queries: list[bytes]) -> None:
        self.headers = Headers(512)
        self.block = bytearray(b"".join(query.ljust(512, b"\0") for query in queries))
        self.sizes = [len(query) for query in queries]
        self.base = _address(self.block)
        self.next = 0

    def load(self, count: int) -> None:
        words, total = self.headers.vector_words, len(self.sizes)
        for i in range(count):
            number = self.next
            self.next = number + 1 if number + 1 < total else 0
            words[2 * i] = self.base + 512 * number
            words[2 * i + 1] = self.sizes[number]


def run(port: int, seconds: float, queries: list[bytes], *, once: bool = False) -> dict[str, float]:
    """Answers per second, and how many queries got none. With `once` it ends when all were sent."""
    libc = ctypes.CDLL(None, use_errno=True)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.connect(("127.0.0.1", port))
    sender, taken = Sender(queries), Headers(SLOT)
    number, sent, got, lost = sock.fileno(), 0, 0, 0
    began = heard = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        room = min(BATCH, WINDOW - (sent - got - lost))
        if once:
            room = min(room, len(queries) - sent)
            if room <= 0 and got + lost >= len(queries):
                break
        if room > 0:
            sender.load(room)
            sent += max(0, libc.sendmmsg(number, sender.headers.at, room, DONTWAIT))
        count = libc.recvmmsg(number, taken.at, BATCH, DONTWAIT, None)
        if count > 0:
            got, heard = got + count, now
        elif now - heard > 0.2:
            lost, heard = sent - got, now  # what is not there by now does not come
    return {"qps": got / (now - began), "lost": float(lost), "answers": float(got)}


def paced(port: int, rate: int, seconds: float, queries: list[bytes]) -> dict[str, float]:
    """Latency at a fixed rate, one query at a time under way at most."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    sock.settimeout(1)
    took: list[float] = []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        while time.perf_counter() < due:
            time.sleep(max(0.0, min(0.0005, due - time.perf_counter())))
        start = time.perf_counter()
        sock.send(queries[number % len(queries)])
        sock.recv(SLOT)
        took.append(time.perf_counter() - start)
    took.sort()
    return {
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[int(len(took) * 0.99)] * 1e6,
        "max_us": took[-1] * 1e6,
    }


def mixed(services: int, count: int = 5000) -> list[bytes]:
    """60 % addresses, 20 % the other family, 20 % the first step of a search list."""
    chance, found = random.Random(1), []
    for ident in range(count):
        name = f"svc-{chance.randrange(services)}.bench.svc.cluster.local."
        kind, draw = 1, chance.random()
        if draw < 0.2:
            kind = 28
        elif draw < 0.4:
            name = f"www.example-{chance.randrange(200)}.org.bench.svc.cluster.local."
        found.append(_query(ident, name, kind))
    return found


def never_asked(count: int = 100000) -> list[bytes]:
    """Names that do not exist, each once: what no memory of answers helps with."""
    names = (f"x{i}.bench.svc.cluster.local." for i in range(count))
    return [_query(i, name, 1) for i, name in enumerate(names)]


def once_each(services: int) -> list[bytes]:
    """Names of all kinds that exist, each once: addresses, the other family, ports, reverse."""
    found = []
    for i in range(1, services):
        name, reverse = (
            f"svc-{i}.bench.svc.cluster.local.",
            f"{i & 255}.{i >> 8}.96.10.in-addr.arpa.",
        )
        asked = ((name, 1), (name, 28), (f"_http._tcp.{name}", 33), (reverse, 12))
        found += (_query(i, asked_name, kind) for asked_name, kind in asked)
    random.Random(2).shuffle(found)
    return found


def outside(count: int = 1000) -> list[bytes]:
    """Names of the zone that is forwarded."""
    return [_query(i, f"host-{i}.outside.example.net.", 1) for i in range(count)]


def _query(ident: int, name: str, kind: int) -> bytes:
    labels = b"".join(bytes((len(p),)) + p.encode() for p in name.rstrip(".").split("."))
    edns = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    head = struct.pack("!6H", ident & 0xFFFF, 0x0100, 1, 0, 0, 1)
    return head + labels + b"\0" + struct.pack("!HH", kind, 1) + edns


def main(argv: list[str]) -> None:
    port, seconds, path = int(argv[0]), float(argv[1]), Path(argv[2])
    queries = [bytes.fromhex(line) for line in path.read_text().split()]
    if argv[3:] == ["once"]:
        print(json.dumps(run(port, seconds, queries, once=True)))
    elif len(argv) > 3:
        print(json.dumps(paced(port, int(argv[3]), seconds, queries)))
    else:
        print(json.dumps(run(port, seconds, queries)))


if __name__ == "__main__":
    main(sys.argv[1:])
