"""Watching apart from answering: a plugin's watching half in a process of its own.

The two halves share nothing but a socket pair: length-prefixed batches go one way. JSON of a large
list then never stops the answers (the interpreter runs one thread at a time). Where there is less
than a processor to spend, both halves run on one loop instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable

Send = Callable[[bytes], None]
Work = Callable[[Send], Awaitable[None]]
Closer = Callable[[], Awaitable[None]]
RESTART_S = 0.5
READ_BYTES = 1 << 18
NICE = 5
"""How much the watching half gives way: a third of our share where both are busy."""
STEP_S = 0.0005
"""How long news may keep answers waiting; what is left is taken after the next look at queries."""


class SameLoop:
    """Both halves here: for tests and for a share of a processor."""

    def start(self, name: str, work: Work, receive: Callable[[bytes], None]) -> Closer:
        task = asyncio.get_running_loop().create_task(_as_task(work, receive))

        async def close() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return close


async def _as_task(work: Work, receive: Callable[[bytes], None]) -> None:
    await work(receive)


class Forked:
    """The watching half in a child, which is made anew when it dies and ends when we do."""

    def start(self, name: str, work: Work, receive: Callable[[bytes], None]) -> Closer:
        child = _Child(work, receive)
        child.fork()
        return child.close


class _Child:
    def __init__(self, work: Work, receive: Callable[[bytes], None]) -> None:
        self.work = work
        self.receive = receive
        self.loop = asyncio.get_running_loop()
        self.pid = 0
        self.pipe: socket.socket | None = None
        self.rest = bytearray()
        self.waiting = False
        """Whether news that came is still to be taken."""
        self.closed = False

    def fork(self) -> None:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _watch(self.work, theirs)
        theirs.close()
        ours.setblocking(False)
        self.pid, self.pipe, self.rest, self.waiting = pid, ours, bytearray(), False
        self.loop.add_reader(ours.fileno(), self._readable)

    def _readable(self) -> None:
        assert self.pipe is not None
        if self.waiting:
            return  # the pipe may fill: the watch then goes no faster than we do
        try:
            chunk = self.pipe.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._lost()
            return
        self.rest += chunk
        self._take()

    def _take(self) -> None:
        """Hand on the batches that are whole, for as long as a step may last."""
        until, pos, rest = self.loop.time() + STEP_S, 0, self.rest
        self.waiting = False
        while len(rest) - pos >= 4:
            end = pos + 4 + int.from_bytes(rest[pos : pos + 4])
            if len(rest) < end:
                break
            if pos and self.loop.time() >= until:
                self.waiting = True
                break
            self.receive(bytes(rest[pos + 4 : end]))
            pos = end
        del rest[:pos]
        if self.waiting:
            self.loop.call_soon(self._step, rest)

    def _step(self, rest: bytearray) -> None:
        if rest is self.rest and not self.closed:
            self._take()

    def _lost(self) -> None:
        """The child is gone; what it told stays true until a new one has listed everything."""
        self._let_go()
        if not self.closed:
            self.loop.call_later(RESTART_S, self._again)

    def _again(self) -> None:
        if not self.closed:
            self.fork()

    def _let_go(self) -> None:
        if self.pipe is not None:
            self.loop.remove_reader(self.pipe.fileno())
            self.pipe.close()
            self.pipe = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0

    async def close(self) -> None:
        self.closed = True
        self._let_go()


def _watch(work: Work, pipe: socket.socket) -> None:
    """The child's life; it never returns, and never touches its parent's event loop."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        _close_others(pipe.fileno())
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Who interrupts the parent by the keyboard means both; the parent ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()
        _give_way()
        asyncio.run(_until_parent_ends(work, pipe))
        code = 0
    except KeyboardInterrupt:
        code = 0
    finally:
        os._exit(code)


def _give_way() -> None:
    """Watching is work in bulk: it does not take the processor from an answer when it wakes, and
    an answer takes it from the watch at once; its share stays large enough to keep up.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(NICE)


def _close_others(keep: int) -> None:
    """Let go of the parent's sockets: one that a child holds open still gets its share of the
    queries after the parent has closed it.
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


async def _until_parent_ends(work: Work, pipe: socket.socket) -> None:
    def send(batch: bytes) -> None:
        # Blocking on purpose: a slow reader must slow the watch down, not grow our memory.
        try:
            pipe.sendall(len(batch).to_bytes(4) + batch)
        except OSError:
            gone.set()

    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), gone.set)
    task = asyncio.ensure_future(work(send))
    await asyncio.wait([task, asyncio.ensure_future(gone.wait())], return_when="FIRST_COMPLETED")
    if task.done():
        task.result()
