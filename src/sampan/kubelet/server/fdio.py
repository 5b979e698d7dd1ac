"""Pipes and terminals on the event loop: read and write descriptors without ever blocking it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

CHUNK = 32 << 10


def pipe() -> tuple[int, int]:
    """(ours to read, the other's to write): only our end does not block."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    return read, write


def feed() -> tuple[int, int]:
    """(the other's to read, ours to write)."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    return read, write


def close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


async def read(fd: int) -> bytes:
    """What there is, at least a byte; empty at the end."""
    while True:
        try:
            return os.read(fd, CHUNK)
        except BlockingIOError:
            await _ready(fd, writing=False)
        except OSError:
            return b""  # EIO: the last one has closed the terminal


async def write(fd: int, data: bytes) -> bool:
    """All of it; False when nobody reads any more."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            await _ready(fd, writing=True)
        except OSError:
            return False
    return True


async def _ready(fd: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add: Callable[..., None] = loop.add_writer if writing else loop.add_reader
    drop: Callable[[int], bool] = loop.remove_writer if writing else loop.remove_reader

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    try:
        await ready
    finally:
        drop(fd)


async def readable(fd: int) -> None:
    await _ready(fd, writing=False)
