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

from sampan.linux.base.datagrams import BATCH, Fast, Peer, Slow
from sampan.linux.real.datagrams import IP_PKTINFO, PKTINFO, PKTINFO6, bind, plain_address

SLOT = 4096
"""Queries longer than this are cut; the largest that makes sense is a signed update's."""
REPLY_SLOT = 4096
NAME = 32
CONTROL = 96
"""Room for IP_PKTINFO and IPV6_PKTINFO with their headers."""
MSG_DONTWAIT = 0x40
_CMSG = struct.Struct("@NII")
_NATIVE_64 = ctypes.sizeof(ctypes.c_void_p) == 8 and sys.byteorder == "little"

# struct mmsghdr on 64-bit Linux, in 8-byte words: name, namelen, iov, iovlen, control,
# controllen, flags, and the length that was received or is to be sent.
_WORDS = 8


class _Ring:
    """BATCH message headers with their buffers, as the kernel wants them."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.data = bytearray(BATCH * slot)
        self.names = bytearray(BATCH * NAME)
        self.controls = bytearray(BATCH * CONTROL)
        self.vectors = bytearray(BATCH * 16)
        self.headers = bytearray(BATCH * _WORDS * 8)
        self.view = memoryview(self.data)
        self.words = memoryview(self.headers).cast("Q")
        self.lengths = memoryview(self.headers).cast("I")
        self.vector_words = memoryview(self.vectors).cast("Q")
        self.address = _address(self.headers)
        self.data_at = _address(self.data)
        for i in range(BATCH):
            self.vector_words[2 * i] = self.data_at + i * slot
            self.vector_words[2 * i + 1] = slot
            self.point(i, _address(self.names) + i * NAME, _address(self.controls) + i * CONTROL)
        self.template = bytes(self.headers)

    def point(self, i: int, name: int, control: int) -> None:
        at = _WORDS * i
        self.words[at] = name
        self.words[at + 1] = NAME
        self.words[at + 2] = _address(self.vectors) + 16 * i
        self.words[at + 3] = 1
        self.words[at + 4] = control
        self.words[at + 5] = CONTROL


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class MmsgDatagrams:
    """`drain` makes two system calls for up to 64 queries."""

    def __init__(self, host: str, port: int) -> None:
        self._sock = bind(host, port)
        self.port: int = self._sock.getsockname()[1]
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._in = _Ring(SLOT)
        self._out = _Ring(REPLY_SLOT)

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(self, fast: Fast, slow: Slow) -> int:
        ring = self._in
        ring.headers[:] = ring.template
        count: int = self._libc.recvmmsg(
            self._sock.fileno(), ctypes.c_void_p(ring.address), BATCH, MSG_DONTWAIT, None
        )
        if count <= 0:
            return 0
        view, lengths, answered, slot = ring.view, ring.lengths, 0, ring.slot
        for i in range(count):
            at = i * slot
            wire = view[at : at + lengths[16 * i + 14]].tobytes()
            reply = fast(wire)
            if reply is None:
                slow(wire, self._peer(i))
            elif len(reply) > REPLY_SLOT:
                self.send(reply, self._peer(i))
            else:
                self._put(answered, i, reply)
                answered += 1
        self._flush(answered)
        return count

    def _put(self, to: int, source: int, reply: bytes) -> None:
        """Fill reply slot `to` with what goes back to the sender of query `source`."""
        out, ring = self._out, self._in
        at, length = to * REPLY_SLOT, len(reply)
        out.data[at : at + length] = reply
        out.vector_words[2 * to + 1] = length
        words, origin, target = ring.words, _WORDS * source, _WORDS * to
        out.words[target] = words[origin]
        out.words[target + 1] = words[origin + 1]
        out.words[target + 4] = words[origin + 4]
        out.words[target + 5] = words[origin + 5]
        _turn_control(ring.controls, source * CONTROL, words[origin + 5])

    def _flush(self, count: int) -> None:
        sent, out = 0, self._out
        while sent < count:
            done: int = self._libc.sendmmsg(
                self._sock.fileno(),
                ctypes.c_void_p(out.address + sent * _WORDS * 8),
                count - sent,
                MSG_DONTWAIT,
            )
            # A reply that cannot be sent is skipped; the others must not suffer for it.
            sent += max(done, 1)

    def _peer(self, i: int) -> Peer:
        ring = self._in
        name = bytes(ring.names[i * NAME : i * NAME + (ring.words[_WORDS * i + 1] & 0xFFFFFFFF)])
        size = ring.words[_WORDS * i + 5]
        control = bytearray(ring.controls[i * CONTROL : i * CONTROL + size])
        _turn_control(control, 0, size)
        address, port = _sockaddr(name)
        local = _local(control) or self._sock.getsockname()[0]
        return Peer(address, port, plain_address(local), self.port, (name, bytes(control)))

    def send(self, wire: bytes, peer: Peer) -> None:
        assert isinstance(peer.back, tuple)  # our own, from _peer
        name, control = peer.back
        with contextlib.suppress(OSError):
            self._sock.sendmsg((wire,), _items(control), 0, _destination(name))

    def close(self) -> None:
        self._sock.close()


def _turn_control(buffer: bytearray, at: int, size: int) -> None:
    """Make the first received control message one for sending: source fixed, interface free."""
    if size < _CMSG.size:
        return
    _, _, kind = _CMSG.unpack_from(buffer, at)
    data = at + _CMSG.size
    if kind == IP_PKTINFO:
        buffer[data : data + 4] = b"\0\0\0\0"
    elif buffer[data : data + 2] != b"\xfe\x80":
        buffer[data + 16 : data + 20] = b"\0\0\0\0"


def _local(control: bytes | bytearray) -> str:
    if len(control) < _CMSG.size:
        return ""
    _, _, kind = _CMSG.unpack_from(control)
    if kind == IP_PKTINFO:
        return socket.inet_ntop(socket.AF_INET, PKTINFO.unpack_from(control, _CMSG.size)[2])
    return socket.inet_ntop(socket.AF_INET6, PKTINFO6.unpack_from(control, _CMSG.size)[0])


def _sockaddr(raw: bytes) -> tuple[str, int]:
    family, port = int.from_bytes(raw[:2], sys.byteorder), int.from_bytes(raw[2:4])
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    return plain_address(socket.inet_ntop(socket.AF_INET6, raw[8:24])), port


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
