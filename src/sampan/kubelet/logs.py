"""Reading container logs: lines with their times, from the end or from a moment, and on as they
grow. The files are the runtime's (linux.base.logformat); rotation goes unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO

from sampan.kubelet.pods import time_of
from sampan.std.clock import Clock

BLOCK = 64 << 10
FOLLOW_S = 0.05
"""How long a follower waits before it looks again; it is woken by nothing else."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions; None where the client did not say."""

    follow: bool = False
    tail_lines: int | None = None
    since: float | None = None
    """Seconds since the epoch."""
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = "All"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file; a piece of a longer line has no end."""

    time: bytes
    stream: bytes
    complete: bool
    text: bytes

    def shown(self, timestamps: bool) -> bytes:
        text = self.text + (b"\n" if self.complete else b"")
        return self.time + b" " + text if timestamps else text


def parse_line(raw: bytes) -> Line | None:
    """None for what is not in the form."""
    parts = raw.split(b" ", 3)
    if len(parts) < 4:
        return None
    return Line(parts[0], parts[1], parts[2].startswith(b"F"), parts[3])


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines begin, looking from the end."""
    place = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return place
    wanted = lines + 1  # the last line ends with one as well
    while place > 0:
        size = min(BLOCK, place)
        place -= size
        file.seek(place)
        block = file.read(size)
        found = block.count(b"\n")
        if found >= wanted:
            index = len(block)
            for _ in range(wanted):
                index = block.rindex(b"\n", 0, index)
            return place + index + 1
        wanted -= found
    return 0


def tail_text(path: str, lines: int) -> str:
    """The last lines, as plain text."""
    try:
        with open(path, "rb") as file:
            file.seek(tail_offset(file, lines))
            found = [line for raw in file if (line := parse_line(raw.rstrip(b"\n")))]
    except OSError:
        return ""
    return b"".join(line.shown(False) for line in found).decode(errors="replace")


class Reader:
    """Turns blocks of a log file into what the client asked for."""

    def __init__(self, options: LogOptions) -> None:
        self.options = options
        self.rest = b""
        self.fresh = True
        """Whether the next piece begins a line, which is where a time stamp goes."""
        self.left = options.limit_bytes

    def feed(self, data: bytes) -> bytes:
        *rows, self.rest = (self.rest + data).split(b"\n")
        out = b"".join([self._shown(row) for row in rows])
        if self.left is not None:
            out = out[: self.left]
            self.left -= len(out)
        return out

    def is_full(self) -> bool:
        return self.left == 0

    def _shown(self, row: bytes) -> bytes:
        line = parse_line(row)
        options = self.options
        if line is None or options.stream not in ("All", line.stream.decode().capitalize()):
            return b""
        if options.since is not None and (time_of(line.time.decode()) or 0) < options.since:
            return b""
        text = line.shown(options.timestamps and self.fresh)
        self.fresh = line.complete
        return text


async def read_log(
    path: str, options: LogOptions, clock: Clock, is_over: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What the client asked for, in pieces. Following ends when the container has. Raises OSError
    before the first piece when there is no such file.
    """
    reader = Reader(options)
    file = open(path, "rb")  # noqa: SIM115, ASYNC230 - local, and replaced when it is rotated
    try:
        if options.tail_lines is not None:
            file.seek(tail_offset(file, options.tail_lines))
        while True:
            over = not options.follow or is_over()  # asked before reading: nothing is missed
            while data := file.read(BLOCK):
                out = reader.feed(data)
                if out:
                    yield out
                if reader.is_full():
                    return
            if _is_replaced(path, file):
                file.close()
                file = open(path, "rb")  # noqa: SIM115, ASYNC230
            elif over:
                return
            else:
                await clock.sleep(FOLLOW_S)
    finally:
        file.close()


def _is_replaced(path: str, file: BinaryIO) -> bool:
    """Whether the log was rotated away under the reader."""
    try:
        return os.stat(path).st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
