"""A container runtime in memory, stateful: the contract of linux.base.processes without a kernel.

A few programs are known by name; every other name is "not found", as on a real machine:

    true, false, exit N      end at once                 echo TEXT    one line of output
    sleep                    runs; ignores SIGTERM, as any first process without a handler does
    serve                    runs; ends with 0 on SIGTERM
    cat                      copies input to output (in `exec`)
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from sampan.linux.base.logformat import Cutter, stamp
from sampan.linux.base.processes import (
    Container,
    ContainerState,
    Exit,
    RuntimeFailure,
    Sandbox,
    SandboxState,
    Snapshot,
    StartFailure,
    Stdio,
)
from sampan.std.clock import Clock

KNOWN = ("true", "false", "exit", "echo", "sleep", "serve", "cat")
START_ERROR_CODE = 128


@dataclass(slots=True)
class _Running:
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    taps: list[Stdio] = field(default_factory=list)


class FakeRuntime:
    """`failures` are raised by the next calls that start something, one each."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sandboxes: dict[str, SandboxState] = {}
        self.containers: dict[str, ContainerState] = {}
        self.failures: list[RuntimeFailure] = []
        self.executed: list[tuple[str, tuple[str, ...]]] = []
        """Every `exec`: container and command."""
        self.exec_codes: dict[tuple[str, ...], int] = {}
        """What commands end with, where a test says so."""
        self.signals: list[tuple[str, int]] = []
        self._running: dict[str, _Running] = {}
        self._listeners: list[asyncio.Queue[str]] = []
        self._pids = itertools.count(1000)

    async def run_sandbox(self, spec: Sandbox) -> SandboxState:
        if spec.id not in self.sandboxes or not self.sandboxes[spec.id].ready:
            self._fail_if_told()
            netns = spec.host_network or f"/fake/netns/{spec.id}"
            self.sandboxes[spec.id] = SandboxState(spec, netns, self.clock.now())
        return self.sandboxes[spec.id]

    async def remove_sandbox(self, sandbox: str) -> None:
        for name, state in list(self.containers.items()):
            if state.spec.sandbox == sandbox and state.exit is None:
                self.finish(name, 137, signal_number=signal.SIGKILL)
        self.sandboxes.pop(sandbox, None)

    async def dial(self, sandbox: str, family: int) -> socket.socket:
        if sandbox not in self.sandboxes:
            raise RuntimeFailure(f"there is no sandbox {sandbox}")
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock

    async def start(self, spec: Container) -> ContainerState:
        self._fail_if_told()
        if spec.sandbox not in self.sandboxes:
            raise RuntimeFailure(f"container {spec.id} has no sandbox")
        if spec.id in self.containers:
            raise RuntimeFailure(f"container {spec.id} has been started before")
        now = self.clock.now()
        self.containers[spec.id] = ContainerState(spec, next(self._pids), now)
        self._running[spec.id] = _Running()
        if os.path.basename(spec.argv[0]) not in KNOWN:
            message = f'exec: "{spec.argv[0]}": executable file not found in $PATH'
            self.finish(spec.id, START_ERROR_CODE, message=message)
            raise StartFailure(message)
        self._begin(spec)
        return self.containers[spec.id]

    async def signal(self, container: str, number: int, *, everyone: bool = False) -> None:
        state = self.containers.get(container)
        if state is None or state.exit is not None:
            return
        self.signals.append((container, number))
        program = os.path.basename(state.spec.argv[0])
        if number == signal.SIGKILL:
            self.finish(container, 137, signal_number=number)
        elif program == "serve":
            self.finish(container, 0)

    async def remove(self, container: str) -> None:
        state = self.containers.get(container)
        if state is not None and state.exit is None:
            raise RuntimeFailure(f"container {container} is running")
        self.containers.pop(container, None)

    async def inspect(self, container: str) -> ContainerState | None:
        return self.containers.get(container)

    async def snapshot(self) -> Snapshot:
        return Snapshot(tuple(self.sandboxes.values()), tuple(self.containers.values()))

    async def exits(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            for name in [name for name, state in self.containers.items() if state.exit]:
                yield name
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    async def exec(self, container: str, argv: tuple[str, ...], stdio: Stdio) -> int:
        self._live(container)
        self.executed.append((container, argv))
        if argv in self.exec_codes:
            return self.exec_codes[argv]
        if stdio.terminal < 0:
            return await self._execute(argv, stdio)
        master, slave = os.openpty()
        try:
            with socket.socket(fileno=os.dup(stdio.terminal)) as waiting:
                socket.send_fds(waiting, [b"\n"], [master])
            return await self._execute(argv, Stdio(slave, slave, slave))
        finally:
            os.close(master)
            os.close(slave)

    async def _execute(self, argv: tuple[str, ...], stdio: Stdio) -> int:
        program = os.path.basename(argv[0])
        if program not in KNOWN:
            raise StartFailure(f'exec: "{argv[0]}": executable file not found in $PATH')
        if program == "echo":
            os.write(stdio.stdout, " ".join(argv[1:]).encode() + b"\n")
        elif program == "cat":
            await asyncio.to_thread(_copy, stdio.stdin, stdio.stdout)
        elif program in ("sleep", "serve"):
            await asyncio.get_running_loop().create_future()
        return _code(argv)

    async def attach(self, container: str, stdio: Stdio) -> None:
        running = self._live(container)
        running.taps.append(stdio)
        try:
            await running.ended.wait()
        finally:
            running.taps.remove(stdio)

    async def resize(self, container: str, columns: int, rows: int) -> None:
        self._live(container)

    def finish(
        self, container: str, code: int, *, signal_number: int = 0, oom: bool = False,
        message: str = "",
    ) -> None:  # fmt: skip
        """End a container from outside."""
        how = Exit(code, self.clock.now(), int(signal_number), oom, message=message)
        self.containers[container] = replace(self.containers[container], exit=how)
        self._running.pop(container).ended.set()
        for queue in self._listeners:
            queue.put_nowait(container)

    def write(self, container: str, text: str, stream: str = "stdout") -> None:
        """Let a container say something."""
        data = text.encode()
        for tap in self._running[container].taps:
            os.write(tap.stdout if stream == "stdout" else tap.stderr, data)
        path = self.containers[container].spec.output.path
        if path:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            when = stamp(int(self.clock.now() * 1e9))
            with open(path, "ab") as file:
                file.write(Cutter(stream).feed(data, when))

    def vanish(self) -> None:
        """A reboot: every namespace is gone and nobody saw an exit."""
        for name, state in self.sandboxes.items():
            self.sandboxes[name] = replace(state, ready=False)
        for name in list(self._running):
            how = Exit(137, self.clock.now(), known=False)
            self.containers[name] = replace(self.containers[name], exit=how)
            del self._running[name]

    def _begin(self, spec: Container) -> None:
        program = os.path.basename(spec.argv[0])
        if program == "echo":
            self.write(spec.id, " ".join(spec.argv[1:]) + "\n")
        if program not in ("sleep", "serve", "cat"):
            self.finish(spec.id, _code(spec.argv))

    def _live(self, container: str) -> _Running:
        if container not in self._running:
            raise RuntimeFailure(f"container {container} is not running")
        return self._running[container]

    def _fail_if_told(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def _code(argv: tuple[str, ...]) -> int:
    return {"false": 1, "exit": int(argv[1]) if len(argv) > 1 and argv[0] == "exit" else 0}.get(
        os.path.basename(argv[0]), 0
    )


def _copy(source: int, target: int) -> None:
    while data := os.read(source, 65536):
        os.write(target, data)
