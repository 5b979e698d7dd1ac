"""SPDY/3.1 as old kubectl and port-forward speak it: framing, header blocks, streams. A server's
side; no flow control, which none of those clients does either.

    SYN_STREAM ->        a stream, with headers that say what it is for
    <- SYN_REPLY         accepted
    data <->             FIN ends one direction
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable

from sampan.std.http import Stream

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
CANCEL = 5
QUEUED = 64
MAX_DATA = 1 << 16

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url "
    "public set-cookie keep-alive origin"
)
_TAIL = (
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045052"
    "03 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/"
    "xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)


def dictionary() -> bytes:
    """What every SPDY/3 header block is compressed against (its Adler-32 is e3c6a7c2)."""
    words = (word.replace("_", " ") for word in _WORDS.split())
    return b"".join(struct.pack("!I", len(w)) + w.encode() for w in words) + _TAIL.encode()


class Broken(ConnectionError):
    """The peer does not speak SPDY/3.1."""


class SpdyStream:
    """One stream; `read` gives what the peer sends on it."""

    def __init__(self, session: Session, number: int, headers: dict[str, str]) -> None:
        self.session, self.number, self.headers = session, number, headers
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED)
        self.ended = False
        self.reset = False

    async def read(self) -> bytes:
        """Empty at the end."""
        if self.ended:
            return b""
        data = await self.queue.get()
        if data is None:
            self.ended = True
            return b""
        return data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        if self.reset:
            raise ConnectionResetError("the stream was reset")
        for start in range(0, len(data), MAX_DATA):
            await self.session.send_data(self.number, data[start : start + MAX_DATA])

    async def close(self) -> None:
        """No more from this side."""
        if not self.reset:
            await self.session.send_data(self.number, b"", fin=True)


Accept = Callable[[SpdyStream], Awaitable[None]]


class Session:
    """One connection. `accept` is called for every stream that the client opens."""

    def __init__(self, stream: Stream, accept: Accept) -> None:
        self.stream, self.accept = stream, accept
        self.streams: dict[int, SpdyStream] = {}
        self.left = asyncio.Event()
        words = dictionary()
        self._inflate = zlib.decompressobj(zdict=words)
        self._deflate = zlib.compressobj(zdict=words)
        self._buffer = bytearray()

    async def run(self) -> None:
        """Until the client leaves."""
        try:
            while data := await self.stream.read():
                self._buffer += data
                while (frame := self._frame()) is not None:
                    await self._take(*frame)
        except (ConnectionError, zlib.error):
            return
        finally:
            self.left.set()
            for stream in self.streams.values():
                if stream.queue.full():
                    stream.queue.get_nowait()
                stream.queue.put_nowait(None)

    async def close(self) -> None:
        await self._control(GOAWAY, struct.pack("!II", max(self.streams, default=0), 0))
        self.stream.close()

    async def send_data(self, number: int, data: bytes, *, fin: bool = False) -> None:
        flags = FIN if fin else 0
        await self.stream.write(struct.pack("!II", number, flags << 24 | len(data)) + data)

    def _frame(self) -> tuple[int, int, bytes] | None:
        """(first word, flags, payload) of the next whole frame."""
        if len(self._buffer) < 8:
            return None
        first, second = struct.unpack_from("!II", self._buffer)
        flags, size = second >> 24, second & 0xFFFFFF
        if len(self._buffer) < 8 + size:
            return None
        payload = bytes(self._buffer[8 : 8 + size])
        del self._buffer[: 8 + size]
        return first, flags, payload

    async def _take(self, first: int, flags: int, payload: bytes) -> None:
        if not first >> 31:
            await self._data(first, flags, payload)
            return
        if (first >> 16) & 0x7FFF != VERSION:
            raise Broken("not SPDY version 3")
        kind = first & 0xFFFF
        if kind == SYN_STREAM:
            await self._opened(flags, payload)
        elif kind == PING:
            await self._control(PING, payload)
        elif kind == RST_STREAM:
            stream = self.streams.pop(struct.unpack_from("!I", payload)[0], None)
            if stream is not None:
                stream.reset = True
                await stream.queue.put(None)
        elif kind == HEADERS:
            self._headers(payload[4:])  # keeps the decompressor in step

    async def _data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self.streams.get(number)
        if stream is None:
            await self._control(RST_STREAM, struct.pack("!II", number, CANCEL))
            return
        if payload:
            await stream.queue.put(payload)
        if flags & FIN:
            await stream.queue.put(None)

    async def _opened(self, flags: int, payload: bytes) -> None:
        number = struct.unpack_from("!I", payload)[0] & 0x7FFFFFFF
        stream = SpdyStream(self, number, self._headers(payload[10:]))
        self.streams[number] = stream
        block = self._deflate.compress(struct.pack("!I", 0))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._control(SYN_REPLY, struct.pack("!I", number) + block)
        if flags & FIN:
            await stream.queue.put(None)
        await self.accept(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        data = self._inflate.decompress(block)
        count, place = struct.unpack_from("!I", data)[0], 4
        texts = []
        for _ in range(2 * count):
            size = struct.unpack_from("!I", data, place)[0]
            texts.append(data[place + 4 : place + 4 + size].decode())
            place += 4 + size
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

    async def _control(self, kind: int, payload: bytes) -> None:
        head = struct.pack("!II", 1 << 31 | VERSION << 16 | kind, len(payload))
        await self.stream.write(head + payload)
