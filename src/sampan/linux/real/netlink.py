"""Netlink messages: encoding, sending in batches, and decoding; the wire below `links`.

Formats are those of linux/netlink.h and linux/rtnetlink.h (RFC 3549 describes the protocol).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, bytes((value,)))


def be16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!H", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message by kind (the last of a kind wins)."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


class Netlink:
    """One rtnetlink socket, or one of another protocol. It keeps speaking for the namespace in
    which it was made.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.socket.settimeout(5)
        self.sequence = 0

    def close(self) -> None:
        self.socket.close()

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        self.sequence += 1
        return (
            HEADER.pack(16 + len(body), kind, flags | NLM_F_REQUEST, self.sequence, 0)
            + body
            + b"\0" * (-len(body) % 4)
        )

    def send(self, kind: int, flags: int, body: bytes, *, accept: tuple[int, ...] = ()) -> None:
        """One request, acknowledged. Raises OSError unless it went well or failed as `accept`
        allows.
        """
        self.socket.send(self.message(kind, flags | NLM_F_ACK, body))
        self._acknowledge(1, accept)

    def batch(
        self, requests: Iterable[tuple[int, int, bytes]], *, accept: tuple[int, ...] = ()
    ) -> None:
        """Many requests in few system calls; the first refusal is raised after all were
        answered.
        """
        waiting: list[bytes] = []
        size = 0
        for kind, flags, body in requests:
            encoded = self.message(kind, flags | NLM_F_ACK, body)
            if size + len(encoded) > 32_000 or len(waiting) >= 64:
                self._flush(waiting, accept)
                waiting, size = [], 0
            waiting.append(encoded)
            size += len(encoded)
        self._flush(waiting, accept)

    def _flush(self, messages: list[bytes], accept: tuple[int, ...]) -> None:
        if messages:
            self.socket.send(b"".join(messages))
            self._acknowledge(len(messages), accept)

    def _acknowledge(self, count: int, accept: tuple[int, ...]) -> None:
        refusal = 0
        for kind, body in self._messages(count):
            if kind == NLMSG_ERROR:
                error = -struct.unpack_from("=i", body)[0]
                if error and error not in accept:
                    refusal = refusal or error
        if refusal:
            raise OSError(refusal, os.strerror(refusal))

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """The bodies of all objects of a kind."""
        self.socket.send(self.message(kind, NLM_F_DUMP, body))
        while True:
            for answer, data in self._received():
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    error = -struct.unpack_from("=i", data)[0]
                    raise OSError(error, os.strerror(error))
                yield data

    def get(self, kind: int, body: bytes) -> bytes:
        """The body of the one object that a request names. Raises OSError."""
        self.socket.send(self.message(kind, NLM_F_ACK, body))
        found, refusal = b"", 0
        for answer, data in self._messages(1):
            if answer == NLMSG_ERROR:
                refusal = -struct.unpack_from("=i", data)[0]
            else:
                found = data
        if refusal:
            raise OSError(refusal, os.strerror(refusal))
        return found

    def _messages(self, errors: int) -> Iterator[tuple[int, bytes]]:
        """Messages until that many acknowledgements have come."""
        while errors > 0:
            for kind, body in self._received():
                errors -= kind == NLMSG_ERROR
                yield kind, body

    def _received(self) -> Iterator[tuple[int, bytes]]:
        data = self.socket.recv(262_144)
        at = 0
        while at + 16 <= len(data):
            length, kind, _flags, _sequence, _pid = HEADER.unpack_from(data, at)
            yield kind, data[at + 16 : at + length]
            at += (length + 3) & ~3
