"""WebSocket frames (RFC 6455): what both sides need, without extensions.

    frame = Frame(opcode, payload, final)          data or control
    encode(frame, mask=True)                       a client's frames are masked, a server's are not
    Decoder(limit).feed(bytes) -> [Frame, ...]     unmasks, puts fragments together

The handshake is HTTP's business; `accept_key` is the one computation in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ProtocolViolation(Exception):
    """The peer sent what RFC 6455 forbids; the connection is to be closed with this code."""

    def __init__(self, text: str, code: int = 1002) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole message (fragments are joined) or a control frame."""

    opcode: int
    payload: bytes = b""


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (§4.2.2)."""
    digest = hashlib.sha1(key.strip().encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def is_asked(headers: Mapping[str, str]) -> bool:
    """Whether a request wants to become a WebSocket."""
    return headers.get("upgrade", "").lower() == "websocket" and "sec-websocket-key" in headers


def accept_headers(key: str, protocol: str) -> dict[str, str]:
    """The headers of the 101 that grants it."""
    headers = {
        "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": accept_key(key),
    }  # fmt: skip
    return {**headers, "sec-websocket-protocol": protocol} if protocol else headers


def new_key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def close(code: int = 1000, reason: str = "") -> Frame:
    return Frame(CLOSE, struct.pack("!H", code) + reason.encode()[:120])


def encode(frame: Frame, *, mask: bool = False) -> bytes:
    """One final frame on the wire."""
    size = len(frame.payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | frame.opcode, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | frame.opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | frame.opcode, bit | 127, size)
    if not mask:
        return head + frame.payload
    key = os.urandom(4)
    return head + key + masked(frame.payload, key)


def masked(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated key, as one big number: the same both ways."""
    size = len(payload)
    pattern = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")
    return number.to_bytes(size, "big")


class Decoder:
    """Bytes in, messages out. `limit` bounds one message."""

    def __init__(self, *, limit: int = 1 << 20) -> None:
        self.limit = limit
        self.buffer = bytearray()
        self.parts: list[bytes] = []
        self.opcode = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Raises ProtocolViolation."""
        self.buffer += data
        found = []
        while (raw := self._raw()) is not None:
            final, opcode, payload = raw
            message = self._join(opcode, payload, final=final)
            if message is not None:
                found.append(message)
        return found

    def _raw(self) -> tuple[bool, int, bytes] | None:
        """The next frame off the buffer, if it is there whole."""
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise ProtocolViolation("reserved bits are set but no extension was agreed")
        size, at = second & 0x7F, 2
        if size >= 126:
            wide = "!H" if size == 126 else "!Q"
            at += struct.calcsize(wide)
            if len(buffer) < at:
                return None
            size = struct.unpack_from(wide, buffer, 2)[0]
        if size + sum(map(len, self.parts)) > self.limit:
            raise ProtocolViolation(f"a message of more than {self.limit} bytes", 1009)
        key_size = 4 if second & 0x80 else 0
        end = at + key_size + size
        if len(buffer) < end:
            return None
        payload = bytes(buffer[at + key_size : end])
        if key_size:
            payload = masked(payload, bytes(buffer[at : at + 4]))
        del buffer[:end]
        return bool(first & 0x80), first & 0x0F, payload

    def _join(self, opcode: int, payload: bytes, *, final: bool) -> Frame | None:
        if opcode >= CLOSE:
            if not final or len(payload) > 125:
                raise ProtocolViolation("a control frame is fragmented or too long")
            return Frame(opcode, payload)
        if (opcode == CONTINUATION) != bool(self.opcode):
            raise ProtocolViolation("a continuation without a beginning, or the reverse")
        self.opcode = self.opcode or opcode
        self.parts.append(payload)
        if not final:
            return None
        message = Frame(self.opcode, b"".join(self.parts))
        self.opcode, self.parts = 0, []
        return message
