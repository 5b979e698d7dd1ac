"""Asks a DNS server at a steady rate and tells what was not answered. Run inside a pod:

    dns_load.py SERVER NAME RATE STOP_FILE

Every other query has a socket of its own, as the C library's have; the rest share a few sockets for
ever, as some clients do, which is where a stale entry of connection tracking would show. When such
an entry is cut off, an answer that is under way finds its way back no more (a fresh socket may meet
one, too: ports are used again). So a query is asked once more after a second, and that is counted.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

SHARED = 8
PATIENCE_S = 5.0
AGAIN_S = 1.0


@dataclass
class Load:
    server: str
    question: bytes
    poll: select.epoll = field(default_factory=select.epoll)
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    waiting: dict[tuple[int, int], float] = field(default_factory=dict)
    lost: list[tuple[float, bool]] = field(default_factory=list)
    """When it was sent, and whether from a shared socket."""
    again: dict[tuple[int, int], float] = field(default_factory=dict)
    """Asked twice, and when first."""
    repeated: list[float] = field(default_factory=list)
    wrong: int = 0
    sent: int = 0
    slowest: float = 0.0

    def open(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.connect((self.server, 53))
        self.sockets[made.fileno()] = made
        self.poll.register(made.fileno(), select.EPOLLIN)
        return made

    def send(self, sock: socket.socket) -> None:
        number = self.sent & 0xFFFF
        self.sent += 1
        self._ask(sock, number)

    def _ask(self, sock: socket.socket, number: int) -> None:
        self.waiting[sock.fileno(), number] = time.monotonic()
        head = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
        try:
            sock.send(head + self.question)
        except ConnectionRefusedError:
            self.wrong += 1  # an ICMP error for the query before

    def take(self, wait_s: float, shared: set[int]) -> None:
        for fd, _ in self.poll.poll(wait_s):
            self._read(fd)
            if fd not in shared:
                self.close(fd)

    def _read(self, fd: int) -> None:
        while True:
            try:
                reply = self.sockets[fd].recv(2048)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self.wrong += 1
                return
            key = fd, int.from_bytes(reply[:2])
            began = self.waiting.pop(key, None)
            if began is None:
                continue
            began = self.again.pop(key, began)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if reply[3] & 15 or not int.from_bytes(reply[6:8]):
                self.wrong += 1

    def close(self, fd: int) -> None:
        self.poll.unregister(fd)
        self.sockets.pop(fd).close()

    def ask_again(self) -> None:
        now = time.monotonic()
        late = []
        for key, began in self.waiting.items():
            if now - began < AGAIN_S:
                break
            if key not in self.again and key[0] in self.sockets:
                late.append(key)
        for key in late:
            self.again[key] = self.waiting.pop(key)
            self.repeated.append(self.again[key])
            self._ask(self.sockets[key[0]], key[1])

    def give_up(self, shared: set[int]) -> None:
        """What has waited for too long is lost."""
        now = time.monotonic()
        for key, began in list(self.waiting.items()):
            if now - began < PATIENCE_S:
                break
            del self.waiting[key]
            self.lost.append((began, key[0] in shared))
            if key[0] not in shared and key[0] in self.sockets:
                self.close(key[0])


def main(server: str, name: str, rate: float, stop: str) -> None:
    labels = [label.encode() for label in name.strip(".").split(".")]
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    load = Load(server, encoded + struct.pack("!HH", 1, 1))
    kept = [load.open() for _ in range(SHARED)]
    shared = {sock.fileno() for sock in kept}
    began = time.monotonic()
    while not os.path.exists(stop):
        due = int((time.monotonic() - began) * rate)
        while load.sent < due:
            fresh = load.sent % 2
            load.send(load.open() if fresh else kept[load.sent // 2 % SHARED])
        load.take(0.002, shared)
        load.ask_again()
        load.give_up(shared)
    ended = time.monotonic()
    while load.waiting and time.monotonic() < ended + PATIENCE_S:
        load.take(0.05, shared)
        load.ask_again()
    load.lost += [(at, key[0] in shared) for key, at in load.waiting.items()]
    told = {
        "sent": load.sent, "lost": len(load.lost), "wrong": load.wrong,
        "asked_again": [round(at - began, 3) for at in load.repeated],
        "rate": round(load.sent / (ended - began)), "slowest_ms": round(load.slowest * 1000),
        "when": sorted({(round(at - began, 1), kept) for at, kept in load.lost}),
    }  # fmt: skip
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
