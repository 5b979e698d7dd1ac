"""The batching receive loop: `recvmmsg` and `sendmmsg` through ctypes, 64 datagrams per call.

All structures live in one set of buffers that is made once; a reply reuses the address and the
control message (IP_PKTINFO) that its query came with. No compiler is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
from array import array
from functools import lru_cache

from sampan.linux.base.datagrams import BATCH, NOTHING_AT_HAND, AtHand, Fast, Peer, Rows, Slow
from sampan.linux.real.datagrams import IP_PKTINFO, PKTINFO, PKTINFO6, bind, plain_address

SLOT = 4096
"""Room for a query and for a reply. Longer queries are cut; the largest that makes sense is a
signed update's. Longer replies are sent one by one."""
_STEP = SLOT // 2
"""Slots are so many 16-bit words apart, of which an ID is the first."""
NAME = 32
CONTROL = 96
"""Room for IP_PKTINFO and IPV6_PKTINFO with their headers."""
MSG_DONTWAIT = 0x40
_CMSG = struct.Struct("@NII")
_NATIVE_64 = ctypes.sizeof(ctypes.c_void_p) == 8 and sys.byteorder == "little"

# struct mmsghdr on 64-bit Linux, in 8-byte words: name, namelen, iov, iovlen, control,
# controllen, flags, and the length that was received or is to be sent.
_WORDS = 8
_SIZES4 = (16, 32)
"""Of an address, and of the one control message that the kernel adds: it never varies."""
_SIZES6 = (28, 40)
_LINK_LOCAL = 0x80FE
_ZEROS = memoryview(bytes(4 * BATCH)).cast("I")


class _Ring:
    """BATCH message headers, each with a buffer of its own."""

    def __init__(self) -> None:
        self.data = bytearray(BATCH * SLOT)
        self.vectors = bytearray(BATCH * 16)
        self.headers = bytearray(BATCH * _WORDS * 8)
        self.view = memoryview(self.data)
        self.halves = self.view.cast("H")
        self.words = memoryview(self.headers).cast("Q")
        self.lengths = memoryview(self.headers).cast("I")
        self.vector_words = memoryview(self.vectors).cast("Q")
        self.address = _address(self.headers)
        for i in range(BATCH):
            self.vector_words[2 * i] = _address(self.data) + i * SLOT
            self.vector_words[2 * i + 1] = SLOT

    def point(self, names: bytearray, controls: bytearray, sizes: tuple[int, int]) -> None:
        """Where addresses and control messages are, and how long."""
        for i in range(BATCH):
            at = _WORDS * i
            self.words[at] = _address(names) + i * NAME
            self.words[at + 1] = sizes[0]
            self.words[at + 2] = _address(self.vectors) + 16 * i
            self.words[at + 3] = 1
            self.words[at + 4] = _address(controls) + i * CONTROL
            self.words[at + 5] = sizes[1]


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class MmsgDatagrams:
    """`drain` makes two system calls for up to 64 queries.

    The reply to the query in slot i leaves from slot i, whose address and control message are
    those that the query came with; so nothing but the reply itself has to be written.
    """

    rows: Rows | None = None

    def __init__(self, host: str, port: int) -> None:
        self._sock = bind(host, port)
        self._host, self.port = bound_address(self._sock)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._names = bytearray(BATCH * NAME)
        self._controls = bytearray(BATCH * CONTROL)
        self._control_words = memoryview(self._controls).cast("I")
        self._six = self._sock.family == socket.AF_INET6
        self._in = _Ring()
        self._in.point(self._names, self._controls, (NAME, CONTROL))
        self._fresh = bytes(self._in.headers)
        self._out = _Ring()
        self._out.point(self._names, self._controls, _SIZES6 if self._six else _SIZES4)

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(
        self, fast: Fast, slow: Slow, now: float = 0.0, at_hand: AtHand = NOTHING_AT_HAND
    ) -> int:
        ring = self._in
        ring.headers[:] = self._fresh
        count: int = self._libc.recvmmsg(
            self._sock.fileno(), ctypes.c_void_p(ring.address), BATCH, MSG_DONTWAIT, None
        )
        if count <= 0:
            return 0
        self._free_interfaces(count)
        self._out.halves[: count * _STEP : _STEP] = ring.halves[: count * _STEP : _STEP]
        sizes: list[int] = ring.lengths[14 : 16 * count : 16].tolist()
        firm, dated = at_hand[0].get, at_hand[1].get
        view, data, at, unanswered = ring.view, self._out.data, 0, list[int]()
        for i, size in enumerate(sizes):
            # The reply's length takes the place of the query's; the ID is there already.
            key = view[at + 2 : at + size].tobytes()
            if (ready := firm(key) or dated(key)) is not None:
                ready.hits += 1
                sizes[i] = end = 2 + len(ready.first)
                data[at + 2 : at + end] = ready.first
            elif reply := self._made(i, view[at : at + size].tobytes(), fast, slow):
                sizes[i] = end = len(reply)
                data[at : at + end] = reply
            else:
                unanswered.append(i)
            at += SLOT
        self._out.vector_words[1 : 2 * count : 2] = memoryview(array("Q", sizes))
        begun = 0
        for end in (*unanswered, count):
            self._flush(begun, end)
            begun = end + 1
        return count

    def _made(self, i: int, wire: bytes, fast: Fast, slow: Slow) -> bytes | None:
        """The reply to the query in slot i, unless it is sent otherwise, or later."""
        reply = fast(wire)
        if reply is None:
            reply = slow(wire, self._peer(i))
        if reply is None or 0 < len(reply) <= SLOT:
            return reply
        self.send(reply, self._peer(i))
        return None

    def _free_interfaces(self, count: int) -> None:
        """Replies keep the source but may leave by any interface; only link-local ones may not."""
        words, step = self._control_words, CONTROL // 4
        if not self._six:
            words[4 : step * count : step] = _ZEROS[:count]
            return
        heads = words[4 : step * count : step].tolist()
        if not any(head & 0xFFFF == _LINK_LOCAL for head in heads):
            words[8 : step * count : step] = _ZEROS[:count]
            return
        for i, head in enumerate(heads):
            if head & 0xFFFF != _LINK_LOCAL:
                words[8 + step * i] = 0

    def _flush(self, start: int, end: int) -> None:
        """Send the replies of a run of slots."""
        while start < end:
            done: int = self._libc.sendmmsg(
                self._sock.fileno(),
                ctypes.c_void_p(self._out.address + start * _WORDS * 8),
                end - start,
                MSG_DONTWAIT,
            )
            # A reply that cannot be sent is skipped; the others must not suffer for it.
            start += max(done, 1)

    def _peer(self, i: int) -> Peer:
        words, at = self._in.words, _WORDS * i
        place, size = i * NAME, words[at + 1] & 0xFFFFFFFF
        name = bytes(self._names[place : place + size])
        place, size = i * CONTROL, words[at + 5]
        control = bytes(self._controls[place : place + size])
        address, port = sockaddr(name)
        local = control_address(control) or self._host
        return Peer(address, port, local, self.port, (name, control))

    def send(self, wire: bytes, peer: Peer) -> None:
        send_back(self._sock, wire, peer)

    def close(self) -> None:
        self._sock.close()


def send_back(sock: socket.socket, wire: bytes, peer: Peer) -> None:
    """One reply to a peer whose `back` is its raw address and control message."""
    assert isinstance(peer.back, tuple)
    name, control = peer.back
    with contextlib.suppress(OSError):
        sock.sendmsg((wire,), _items(control), 0, _destination(name))


def bound_address(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return plain_address(host), port


@lru_cache(maxsize=256)
def control_address(control: bytes) -> str:
    """The address of ours that a datagram came to; empty when the kernel does not tell."""
    if len(control) < _CMSG.size:
        return ""
    _, _, kind = _CMSG.unpack_from(control)
    if kind == IP_PKTINFO:
        return socket.inet_ntop(socket.AF_INET, PKTINFO.unpack_from(control, _CMSG.size)[2])
    return _plain6(PKTINFO6.unpack_from(control, _CMSG.size)[0])


def sockaddr(raw: bytes) -> tuple[str, int]:
    if len(raw) == _SIZES4[0]:
        return _plain4(raw[4:8]), raw[2] << 8 | raw[3]
    return _plain6(raw[8:24]), raw[2] << 8 | raw[3]


@lru_cache(maxsize=4096)
def _plain4(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET, raw)


@lru_cache(maxsize=4096)
def _plain6(raw: bytes) -> str:
    return plain_address(socket.inet_ntop(socket.AF_INET6, raw))


def _destination(raw: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    family, port = int.from_bytes(raw[:2], sys.byteorder), int.from_bytes(raw[2:4])
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    scope = int.from_bytes(raw[24:28], sys.byteorder)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, 0, scope


def _items(control: bytes) -> list[tuple[int, int, bytes]]:
    if len(control) < _CMSG.size:
        return []
    length, level, kind = _CMSG.unpack_from(control)
    return [(level, kind, control[_CMSG.size : length])]


def is_usable() -> bool:
    """The header layout above is that of 64-bit little-endian Linux."""
    return _NATIVE_64 and os.uname().sysname == "Linux"
