"""`grpc.health.v1.Health/Check` by hand: one HTTP/2 stream without TLS (RFC 9113), one message.

The answer's DATA frame holds all there is to know; headers and trailers are not decoded.
"""

from __future__ import annotations

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = 0, 1, 2, 3
NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(host: str, port: int, service: str) -> int:
    """The serving status. Raises OSError, EOFError, ValueError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        name = service.encode()
        message = b"\x0a" + _varint(len(name)) + name if name else b""
        body = b"\x00" + struct.pack("!I", len(message)) + message
        writer.write(PREFACE + _frame(SETTINGS, 0, 0, b""))
        writer.write(_frame(HEADERS, END_HEADERS, 1, _headers(f"{host}:{port}")))
        writer.write(_frame(DATA, END_STREAM, 1, body))
        return await _answer(reader, writer)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    data = b""
    while True:
        head = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = await reader.readexactly(size)
        if kind == SETTINGS and not flags & ACK:
            writer.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(_frame(PING, ACK, 0, payload))
        elif kind == DATA:
            data += payload
        elif kind in (RST_STREAM, GOAWAY):
            raise ValueError("the server ended the stream")
        if len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
            return _status(data[5 : 5 + int.from_bytes(data[1:5], "big")])
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            raise ValueError("this server does not implement the grpc health protocol")


def _status(message: bytes) -> int:
    """Field 1 of HealthCheckResponse; 0 when it is not written."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else UNKNOWN


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _headers(authority: str) -> bytes:
    """HPACK: indexed where the static table has it, literal without indexing otherwise."""
    path = b"/grpc.health.v1.Health/Check"
    block = b"\x83\x86"  # :method POST, :scheme http
    block += b"\x04" + _text(path)
    block += b"\x01" + _text(authority.encode())
    rows = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
    for name, value in (*rows, (b"user-agent", b"kube-probe/1.36")):
        block += b"\x00" + _text(name) + _text(value)
    return block


def _text(data: bytes) -> bytes:
    """Without Huffman; everything here is shorter than 127 bytes."""
    return (
        bytes((len(data),)) + data if len(data) < 127 else b"\x7f" + _varint(len(data) - 127) + data
    )


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes((number & 127 | 128,))
        number >>= 7
    return out + bytes((number,))
