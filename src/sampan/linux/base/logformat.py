"""The form of a container's log file (CRI): `<RFC 3339 time> <stream> <F|P> <text>` a line.

P marks a piece of a line that was too long for one. Pure text work, for writers and readers.
"""

from __future__ import annotations

import time

PIECE = 16384


def stamp(now_ns: int) -> bytes:
    """2026-11-20T19:08:00.123456789Z"""
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return b"%s.%09dZ" % (text.encode(), nanoseconds)


class Cutter:
    """Cuts one stream into log lines; what has no end yet waits."""

    def __init__(self, stream: str) -> None:
        self.tag = b" " + stream.encode() + b" "
        self.rest = b""

    def feed(self, data: bytes, when: bytes) -> bytes:
        """Complete log lines for what came."""
        data = self.rest + data if self.rest else data
        *lines, self.rest = data.split(b"\n")
        if len(data) > PIECE:
            return b"".join([self._pieces(line, when) for line in lines]) + self._overlong(when)
        head = when + self.tag + b"F "
        return b"".join([head + line + b"\n" for line in lines])

    def flush(self, when: bytes) -> bytes:
        """What was never ended."""
        rest, self.rest = self.rest, b""
        return self._pieces(rest, when) if rest else b""

    def _pieces(self, line: bytes, when: bytes) -> bytes:
        out = b""
        while len(line) > PIECE:
            out += when + self.tag + b"P " + line[:PIECE] + b"\n"
            line = line[PIECE:]
        return out + when + self.tag + b"F " + line + b"\n"

    def _overlong(self, when: bytes) -> bytes:
        out = b""
        while len(self.rest) > PIECE:
            out += when + self.tag + b"P " + self.rest[:PIECE] + b"\n"
            self.rest = self.rest[PIECE:]
        return out
