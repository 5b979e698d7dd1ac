"""A helper process that speaks JSON lines over its standard input and output."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from sampan.linux.base.helper import HelperError

PATIENCE_S = 10.0


class RealHelper:
    """Implements `Helper` by `python -m MODULE ARGUMENTS` in the namespaces of the asker. Standard
    input is its life line: it ends when that closes, so it never outlives its asker, unless it is
    `lasting`: then it knows itself when to end, and is no part of its asker's session.
    """

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, lasting: bool = False
    ) -> None:
        self._lasting = lasting
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._started = asyncio.Event()
        self._lock = asyncio.Lock()

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        async with self._lock:
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                async with asyncio.timeout(PATIENCE_S):
                    line = await process.stdout.readline()
            except (ConnectionError, TimeoutError) as error:
                await self._kill()
                raise HelperError(f"{self._command[2]} does not answer") from error
            if not line:
                await self._kill()
                raise HelperError(f"{self._command[2]} ended without an answer")
            answer: dict[str, Any] = json.loads(line)
            return answer

    async def ended(self) -> None:
        await self._started.wait()
        process = self._process
        if process is not None:
            await process.wait()

    async def close(self) -> None:
        async with self._lock:
            await self._kill()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 26,
                start_new_session=self._lasting,
            )
        except OSError as error:
            raise HelperError(f"cannot start {self._command[2]}: {error}") from error
        self._started.set()
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        self._started.clear()
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(1):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
