"""exec and attach: a client's connection on one side, a container's descriptors on the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import termios
from collections.abc import Awaitable, Sequence
from typing import Any

from sampan.api.meta import Json
from sampan.kubelet.server import fdio
from sampan.kubelet.server.wire import Wants, Wire, exit_status, failure, success
from sampan.linux.base.processes import Runtime, RuntimeFailure, Stdio

TERMINAL_DRAIN_S = 2.0
"""What a terminal still shows, however slow the client is."""
DRAIN_S = 0.1
"""After the command's end: how long output may still come from what it left behind."""


async def exec_session(
    runtime: Runtime, container: str, argv: tuple[str, ...], wants: Wants, wire: Wire
) -> None:
    """Run a command for a client, until either has ended."""
    if wants.tty:
        await _with_terminal(runtime, container, argv, wire)
        return
    pipes = _Pipes(wants, wire)
    try:
        await _until_gone(pipes.serve(runtime.exec(container, argv, pipes.theirs)), wire)
    finally:
        pipes.close()


async def attach_session(runtime: Runtime, container: str, wants: Wants, wire: Wire) -> None:
    """Join a container's own input and output."""
    pipes = _Pipes(wants, wire)

    async def attach() -> int:
        await runtime.attach(container, pipes.theirs)
        return 0

    async def resize() -> None:
        async for columns, rows in wire.sizes():
            with contextlib.suppress(RuntimeFailure):
                await runtime.resize(container, columns, rows)

    resizing = asyncio.ensure_future(resize())
    try:
        await _until_gone(pipes.serve(attach()), wire)
    finally:
        resizing.cancel()
        pipes.close()


async def _until_gone(work: Awaitable[Json], wire: Wire) -> None:
    """Work, and tell how it went; a client that leaves ends it."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(wire.gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            with contextlib.suppress(ConnectionError):
                await wire.finish(working.result())
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


class _Pipes:
    """The three pipes of a session without a terminal."""

    def __init__(self, wants: Wants, wire: Wire) -> None:
        self.wire = wire
        self.moved = 0
        self.sending = 0
        self.in_theirs, self.in_ours = fdio.feed() if wants.stdin else (-1, -1)
        self.out_ours, self.out_theirs = fdio.pipe() if wants.stdout else (-1, -1)
        self.err_ours, self.err_theirs = fdio.pipe() if wants.stderr else (-1, -1)

    @property
    def theirs(self) -> Stdio:
        return Stdio(self.in_theirs, self.out_theirs, self.err_theirs)

    async def serve(self, work: Awaitable[int]) -> Json:
        """Move bytes while `work` runs; the status to tell."""
        feeding = asyncio.ensure_future(self._feed())
        moving = [
            asyncio.ensure_future(self._move(fd, stderr=stderr))
            for fd, stderr in ((self.out_ours, False), (self.err_ours, True))
            if fd >= 0
        ]
        try:
            code = await work
            self._close_theirs()
            await self._drain(moving)
        except RuntimeFailure as error:
            return failure(str(error))
        finally:
            for task in (feeding, *moving):
                task.cancel()
            await asyncio.wait({feeding, *moving})
        return exit_status(code) if code else success()

    async def _drain(self, moving: Sequence[asyncio.Future[None]]) -> None:
        """To the end of the output; or until nothing comes from what the command left behind."""
        pending = set(moving)
        while pending:
            before = self.moved
            _, pending = await asyncio.wait(pending, timeout=DRAIN_S)
            if self.moved == before and not self.sending:
                return

    async def _feed(self) -> None:
        if self.in_ours < 0:
            return
        async for data in self.wire.stdin():
            if not await fdio.write(self.in_ours, data):
                break
        fdio.close(self.in_ours)
        self.in_ours = -1

    async def _move(self, fd: int, *, stderr: bool) -> None:
        while data := await fdio.read(fd):
            self.sending += 1
            try:
                await self.wire.send(stderr=stderr, data=data)
            finally:
                self.sending -= 1
            self.moved += len(data)

    def _close_theirs(self) -> None:
        fdio.close(self.in_theirs, self.out_theirs, self.err_theirs)
        self.in_theirs = self.out_theirs = self.err_theirs = -1

    def close(self) -> None:
        self._close_theirs()
        fdio.close(self.in_ours, self.out_ours, self.err_ours)


async def _with_terminal(
    runtime: Runtime, container: str, argv: tuple[str, ...], wire: Wire
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        command = runtime.exec(container, argv, Stdio(terminal=theirs.fileno()))
        await _until_gone(_terminal_session(command, ours, theirs, wire), wire)


async def _terminal_session(
    command: Awaitable[int], ours: socket.socket, theirs: socket.socket, wire: Wire
) -> Json:
    running = asyncio.ensure_future(command)
    receiving = asyncio.ensure_future(_master(ours))
    tasks: list[asyncio.Future[None]] = []
    master = -1
    try:
        await asyncio.wait({running, receiving}, return_when=asyncio.FIRST_COMPLETED)
        # A command may be over before its terminal has been looked at.
        await asyncio.wait({receiving}, timeout=DRAIN_S)
        if receiving.done() and (master := receiving.result()) >= 0:
            tasks = [
                asyncio.ensure_future(work)
                for work in (_show(master, wire), _type(master, wire), _resize(master, wire))
            ]
        code = await running
        if tasks:
            await asyncio.wait(tasks[:1], timeout=TERMINAL_DRAIN_S)
    except RuntimeFailure as error:
        return failure(str(error))
    finally:
        every: list[asyncio.Future[Any]] = [running, receiving, *tasks]
        for task in every:
            task.cancel()
        await asyncio.wait(every)
        fdio.close(master)
    return exit_status(code) if code else success()


async def _master(sock: socket.socket) -> int:
    """The terminal's descriptor, as soon as it exists."""
    while True:
        await fdio.readable(sock.fileno())
        with contextlib.suppress(BlockingIOError):
            _, fds, _, _ = socket.recv_fds(sock, 16, 1)
            if fds:
                os.set_blocking(fds[0], False)
                return fds[0]
            return -1


async def _show(master: int, wire: Wire) -> None:
    while data := await fdio.read(master):
        await wire.send(stderr=False, data=data)


async def _type(master: int, wire: Wire) -> None:
    async for data in wire.stdin():
        if not await fdio.write(master, data):
            return


async def _resize(master: int, wire: Wire) -> None:
    async for columns, rows in wire.sizes():
        termios.tcsetwinsize(master, (rows, columns))
