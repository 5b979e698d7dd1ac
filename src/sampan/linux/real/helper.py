"""A helper process that speaks JSON lines over its standard input and output.

asyncio's own child processes are not used: they are killed when nobody refers to them any more, and
a lasting helper must outlive its asker.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.linux.base.helper import HelperError

PATIENCE_S = 10.0
LINE = 1 << 26


@dataclass
class _Child:
    """A running process, the pipes to it, and the word when it ended."""

    popen: subprocess.Popen[bytes]
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    out: asyncio.ReadTransport
    descriptor: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    told: bool = False
    """Whether somebody knows that it ended."""
    heir: bool = False
    """Whether it was started in the place of one of whose end nobody knows yet."""

    def watch(self) -> None:
        asyncio.get_running_loop().add_reader(self.descriptor, self._gone)

    def forget(self) -> None:
        """Give the pipes back: its standard input ends."""
        self.writer.close()
        self.out.close()

    def _gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self.descriptor)
        os.close(self.descriptor)
        self.popen.wait()
        self.ended.set()


class RealHelper:
    """Implements `Helper` by `python -m MODULE ARGUMENTS` in the namespaces of the asker. Standard
    input is its life line: it ends when that closes, so it never outlives its asker, unless it is
    `lasting`: then it knows itself when to end, and is no part of its asker's session.
    """

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, lasting: bool = False
    ) -> None:
        self._lasting = lasting
        self._module = module
        self._command = [sys.executable, "-m", module, *arguments]
        self._child: _Child | None = None
        self._started = asyncio.Event()
        self._lock = asyncio.Lock()

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        async with self._lock:
            child = await self._running()
            try:
                child.writer.write(json.dumps(question).encode() + b"\n")
                async with asyncio.timeout(PATIENCE_S):
                    await child.writer.drain()
                    line = await child.reader.readline()
            except (ConnectionError, TimeoutError) as error:
                await self._kill()
                raise HelperError(f"{self._module} does not answer") from error
            if not line:
                await self._kill()
                raise HelperError(f"{self._module} ended without an answer")
            answer: dict[str, Any] = json.loads(line)
            return answer

    async def ended(self) -> None:
        await self._started.wait()
        child = self._child
        if child is None:
            return
        if not child.heir:
            await child.ended.wait()
            child.told = True
        child.heir = False

    async def close(self) -> None:
        async with self._lock:
            await self._kill()

    async def _running(self) -> _Child:
        if self._child is not None and not self._child.ended.is_set():
            return self._child
        before = self._child
        if before is not None:
            before.forget()
        try:
            self._child = await self._start()
        except OSError as error:
            raise HelperError(f"cannot start {self._module}: {error}") from error
        self._child.heir = before is not None and not before.told
        self._started.set()
        return self._child

    async def _start(self) -> _Child:
        popen = self._spawned()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE)
        out, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), popen.stdout
        )
        pipe, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(), popen.stdin
        )
        writer = asyncio.StreamWriter(pipe, protocol, None, loop)
        child = _Child(popen, writer, reader, out, os.pidfd_open(popen.pid))
        child.watch()
        return child

    def _spawned(self) -> subprocess.Popen[bytes]:
        """In the thread of the asker: its namespaces are meant."""
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=self._lasting,
        )

    async def _kill(self) -> None:
        child, self._child = self._child, None
        self._started.clear()
        if child is None:
            return
        child.forget()
        if child.ended.is_set():
            return
        child.popen.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(1):
                await child.ended.wait()
        except TimeoutError:
            child.popen.kill()
            await child.ended.wait()
