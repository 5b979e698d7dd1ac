"""More processes that answer at the same port, for *multisocket*.

Each is forked before anything is set up, reads the Corefile by itself and shares nothing with the
first but a socket pair: the first asks for counters and for who asks most, and says when to reload;
when it goes, so do they. HTTP pages are the first one's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sampan.std.http import Handler

COUNTERS, RELOAD, WATCH, SEEN = b"c", b"r", b"w", b"s"
RESTART_S = 0.5
TIMEOUT_S = 2.0


class Served(Protocol):
    """What a sibling runs."""

    async def answer(self) -> None:
        """Set up and answer; returns when it does. Raises CorefileError and OSError."""
        ...

    async def reload(self) -> str: ...

    def counters(self) -> str: ...

    def watch(self) -> None:
        """Count who asks and for what, from now on."""
        ...

    def seen(self) -> str:
        """What was counted; the end of counting."""
        ...

    async def close(self) -> None: ...


class NoPages:
    """Where a sibling's plugins put their pages."""

    async def serve(
        self, address: str, handler: Handler, tls: Any = None
    ) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            return None

        return close


class Siblings:
    """`start` forks them; one that dies is made anew."""

    def __init__(self, make: Callable[[], Served]) -> None:
        self.make = make
        self.running: list[_Sibling] = []

    def start(self, count: int) -> None:
        self.running = [_Sibling(self.make) for _ in range(count)]
        for sibling in self.running:
            sibling.fork()

    async def counters(self) -> list[str]:
        """The counters of each, as pages of text; those of a silent one are left out."""
        return await self._answers(COUNTERS)

    def watch(self) -> None:
        """Have each count who asks most, until `seen`."""
        for sibling in self.running:
            sibling.tell(WATCH)

    async def seen(self) -> list[str]:
        return await self._answers(SEEN)

    async def _answers(self, word: bytes) -> list[str]:
        found = await asyncio.gather(*(sibling.answer(word) for sibling in self.running))
        return [text for text in found if text]

    def reload(self) -> None:
        for sibling in self.running:
            sibling.tell(RELOAD)

    def close(self) -> None:
        for sibling in self.running:
            sibling.close()


class _Sibling:
    def __init__(self, make: Callable[[], Served]) -> None:
        self.make = make
        self.pid = 0
        self.writer: asyncio.StreamWriter | None = None
        self.asked: list[asyncio.Future[str]] = []
        self.reading: asyncio.Task[None] | None = None
        self.closed = False

    def fork(self) -> None:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(self.make, theirs)
        theirs.close()
        self.pid = pid
        self.reading = asyncio.get_running_loop().create_task(self._read(ours))

    async def _read(self, ours: socket.socket) -> None:
        reader, self.writer = await asyncio.open_connection(sock=ours)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4))
                text = (await reader.readexactly(size)).decode()
                if self.asked:
                    waiting = self.asked.pop(0)
                    if not waiting.done():
                        waiting.set_result(text)
        except (asyncio.IncompleteReadError, OSError):
            self.writer.close()
        self.writer = None
        _reap(self.pid)
        if not self.closed:
            asyncio.get_running_loop().call_later(RESTART_S, self._again)

    def _again(self) -> None:
        if not self.closed:
            self.fork()

    async def answer(self, word: bytes) -> str:
        """What it has to say; empty where it is silent."""
        if not self.tell(word):
            return ""
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked.append(waiting)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await waiting
        except TimeoutError:
            return ""

    def tell(self, word: bytes) -> bool:
        if self.writer is None:
            return False
        self.writer.write(word)
        return True

    def close(self) -> None:
        self.closed = True
        if self.writer is not None:
            self.writer.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _live(make: Callable[[], Served], pipe: socket.socket) -> None:
    """A sibling's life; it never returns, and never touches its parent's event loop."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        asyncio.run(_serve(make(), pipe))
        code = 0
    except (OSError, ValueError):
        code = 1  # the first process has said the same
    finally:
        os._exit(code)


async def _serve(served: Served, pipe: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=pipe)
    await served.answer()
    while word := await reader.read(1):
        if word in (COUNTERS, SEEN):
            text = (served.counters() if word == COUNTERS else served.seen()).encode()
            writer.write(len(text).to_bytes(4) + text)
            await writer.drain()
        elif word == WATCH:
            served.watch()
        elif word == RELOAD:
            await served.reload()
    await served.close()
