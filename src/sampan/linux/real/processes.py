"""The runtime contract over a node's launcher: specs as files, the doorbell for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import astuple
from typing import Any

from sampan.linux.base.processes import (
    Container,
    ContainerState,
    RuntimeFailure,
    Sandbox,
    SandboxState,
    Snapshot,
    StartFailure,
    Stdio,
)
from sampan.linux.real.records import Records

Json = dict[str, Any]
RECONNECT_S = 0.05
NO_STDIO = Stdio()


class LaunchedRuntime:
    """`revive` is called when nobody answers the doorbell; it may start a new launcher."""

    def __init__(self, run_dir: str, revive: Callable[[], None] = lambda: None) -> None:
        self.run_dir = run_dir
        self.records = Records(run_dir)
        self.revive = revive

    async def run_sandbox(self, spec: Sandbox) -> SandboxState:
        state = self.records.sandbox_state(spec.id)
        if state is None or not state.ready:
            self.records.write_sandbox(spec)
            await self._ask({"op": "sandbox", "id": spec.id})
            state = self.records.sandbox_state(spec.id)
        if state is None:
            raise RuntimeFailure(f"sandbox {spec.id} vanished while it was made")
        return state

    async def remove_sandbox(self, sandbox: str) -> None:
        if self.records.sandbox(sandbox) is not None:
            await self._ask({"op": "unsandbox", "id": sandbox})

    async def dial(self, sandbox: str, family: int) -> socket.socket:
        request = {"op": "dial", "id": sandbox, "family": family}
        with await self._connect(request, ()) as connection:
            answer, fds = await _receive(connection)
            _check(answer)
            sock = socket.socket(fileno=fds[0])
            sock.setblocking(False)
            return sock

    async def start(self, spec: Container) -> ContainerState:
        self.records.write_container(spec)
        if spec.root.scratch:
            os.makedirs(spec.root.scratch, mode=0o700, exist_ok=True)
        await self._ask({"op": "start", "id": spec.id})
        state = self.records.container_state(spec.id)
        if state is None:
            raise RuntimeFailure(f"container {spec.id} vanished while it was started")
        return state

    async def signal(self, container: str, number: int, *, everyone: bool = False) -> None:
        await self._ask(
            {"op": "signal", "id": container, "number": int(number), "everyone": everyone}
        )

    async def remove(self, container: str) -> None:
        spec = self.records.container(container)
        if spec is None:
            return
        await self._ask({"op": "remove", "id": container})
        if spec.root.scratch:
            await asyncio.to_thread(shutil.rmtree, spec.root.scratch, ignore_errors=True)

    async def inspect(self, container: str) -> ContainerState | None:
        return self.records.container_state(container)

    async def snapshot(self) -> Snapshot:
        return self.records.snapshot()

    async def exits(self) -> AsyncIterator[str]:
        told: set[str] = set()
        while True:
            try:
                connection = await self._connect({"op": "watch"}, ())
            except RuntimeFailure:
                await asyncio.sleep(RECONNECT_S)
                continue
            with connection:
                async for line in _lines(connection):
                    name = json.loads(line)["exited"]
                    if name not in told:
                        told.add(name)
                        yield name
            told &= set(self.records.names("containers"))

    async def exec(self, container: str, argv: tuple[str, ...], stdio: Stdio) -> int:
        answer = await self._ask({"op": "exec", "id": container, "argv": list(argv)}, stdio)
        return int(answer["exit"])

    async def attach(self, container: str, stdio: Stdio) -> None:
        await self._ask({"op": "attach", "id": container}, stdio)

    async def resize(self, container: str, columns: int, rows: int) -> None:
        await self._ask({"op": "resize", "id": container, "columns": columns, "rows": rows})

    async def _ask(self, request: Json, stdio: Stdio = NO_STDIO) -> Json:
        fds = astuple(stdio)
        request["fds"] = [fd >= 0 for fd in fds]
        with await self._connect(request, tuple(fd for fd in fds if fd >= 0)) as connection:
            answer, _ = await _receive(connection)
            _check(answer)
            return answer

    async def _connect(self, request: Json, fds: tuple[int, ...]) -> socket.socket:
        """Ring the doorbell; the answer is still to come."""
        for last in (False, True):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            folder = os.open(self.run_dir, os.O_PATH | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{folder}/launcher.sock")
                await _send(connection, json.dumps(request).encode() + b"\n", fds)
                return connection
            except OSError as error:
                connection.close()
                if last:
                    text = f"the launcher of {self.run_dir} does not answer: {error.strerror}"
                    raise RuntimeFailure(text) from None
                self.revive()
            finally:
                os.close(folder)
        raise AssertionError("unreachable")


def _check(answer: Json) -> None:
    if answer.get("error"):
        raise (StartFailure if answer.get("start") else RuntimeFailure)(answer["error"])


async def _send(connection: socket.socket, data: bytes, fds: tuple[int, ...]) -> None:
    sent = socket.send_fds(connection, [data], list(fds)) if fds else 0
    if sent < len(data):
        await asyncio.get_running_loop().sock_sendall(connection, data[sent:])


async def _receive(connection: socket.socket) -> tuple[Json, list[int]]:
    """One line, and the descriptors beside it."""
    text, fds = b"", list[int]()
    while not text.endswith(b"\n"):
        await _readable(connection)
        try:
            data, more, _, _ = socket.recv_fds(connection, 65536, 4)
        except BlockingIOError:
            continue
        except OSError:
            data, more = b"", []
        fds += more
        text += data
        if not data:
            raise RuntimeFailure("the launcher ended before it answered")
    answer: Json = json.loads(text)
    return answer, fds


async def _lines(connection: socket.socket) -> AsyncIterator[bytes]:
    loop, text = asyncio.get_running_loop(), b""
    while True:
        try:
            data = await loop.sock_recv(connection, 65536)
        except OSError:
            return
        if not data:
            return
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            yield line


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    fd = connection.fileno()

    def wake() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
