"""The launcher's containers: started, heard, attached to, ended, adopted, forgotten."""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from sampan.linux.base.processes import Container, Exit
from sampan.linux.real import child
from sampan.linux.real import syscalls as sc
from sampan.linux.real.attachments import Attachment, hold_terminal, resize_terminal
from sampan.linux.real.births import Birth, Outcome, Refused, give_birth
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.live import UNKNOWN, Live, exit_of
from sampan.linux.real.logpump import Pump, Tap
from sampan.linux.real.records import (
    Records,
    process_start,
    read_json,
    remove_tree,
    write_json,
)

START_ERROR_CODE = 128


class LiveContainers:
    """Everything about containers that happens in the launcher."""

    def __init__(
        self,
        records: Records,
        cgroups: KernelCgroups,
        selector: selectors.BaseSelector,
        tell_exit: Callable[[str], None],
    ) -> None:
        self.records = records
        self.cgroups = cgroups
        self.selector = selector
        self.tell_exit = tell_exit
        self.live: dict[str, Live] = {}
        self.leaving: dict[Attachment, Callable[[], None]] = {}
        """Attached to a container that ended; they still get the rest of its output."""
        self.unwritten: dict[str, Exit] = {}

    def begin(
        self, name: str, place: child.Place, pid_namespace: str, answer: Callable[[Outcome], None]
    ) -> Birth:
        """Start it; the spec is on disk."""
        spec = self._spec(name)
        folder = self.records.container_dir(name)
        if name in self.live or self.records.container_state(name) is not None:
            raise Refused(f"container {name} has been started before")
        self.cgroups.ensure(spec.cgroup, spec.limits)
        live = self._listen(spec)
        own = sc.CLONE_NEWPID if not (spec.host_pid or pid_namespace) else 0
        try:
            birth = give_birth(
                functools.partial(
                    child.container, spec, replace(place, folder=folder), self.cgroups
                ),
                lambda outcome: self._born(live, outcome, answer),
                flags=own,
                cgroup_fd=self.cgroups.open_unified(spec.cgroup),
                pid_namespace=pid_namespace,
            )
        except Refused:
            self._forget(live)
            raise
        live.pid, live.pidfd = birth.pid, os.pidfd_open(birth.pid)
        self._note(live, ())
        return birth

    def session(self, name: str, what: child.Session, done: Callable[[Outcome], None]) -> Birth:
        """A command inside a running container."""
        live = self._running(name)
        return give_birth(
            functools.partial(
                child.session, live.spec, replace(what, pidfd=live.pidfd), self.cgroups
            ),
            done,
            flags=0,
            cgroup_fd=self.cgroups.open_unified(live.spec.cgroup),
            pid_namespace=self.pid_namespace(name),
        )

    def pid_namespace(self, name: str) -> str:
        """Where a running container's processes are."""
        return f"/proc/{self._running(name).pid}/ns/pid"

    def signal(self, name: str, number: int, everyone: bool) -> None:
        live = self.live.get(name)
        if live is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if everyone and number == signal.SIGKILL:
                self.cgroups.kill(live.spec.cgroup)
            elif everyone:
                for pid in self.cgroups.processes(live.spec.cgroup):
                    os.kill(pid, number)
            else:
                signal.pidfd_send_signal(live.pidfd, number)

    def resize(self, name: str, columns: int, rows: int) -> None:
        resize_terminal(self._running(name).pid, columns, rows)

    def remove(self, name: str) -> None:
        if name in self.live:
            raise Refused(f"container {name} is running")
        spec = self.records.container(name)
        if spec is not None:
            self.cgroups.remove(spec.cgroup)
            remove_tree(self.records.container_dir(name))

    def attach(self, name: str, fds: tuple[int, int, int], done: Callable[[], None]) -> Attachment:
        """`done` is called when the container's output has come to its end."""
        live = self._running(name)
        writer = -1
        if fds[0] >= 0 and live.stdin >= 0:
            writer = os.dup(live.stdin)
        elif fds[0] >= 0 and live.spec.stdin and (live.spec.tty or not live.spec.stdin_once):
            path = f"{self.records.container_dir(name)}/stdin"
            writer = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        found = Attachment(Tap(fds[1], fds[2]), fds[0], writer, self.selector)
        found.input_ended = functools.partial(self._close_input, live)
        live.pump.taps.append(found.tap)
        live.attached[found] = done
        return found

    def detach(self, name: str, gone: Attachment) -> None:
        live = self.live.get(name)
        if live is not None and gone in live.attached:
            del live.attached[gone]
            live.pump.taps.remove(gone.tap)
            gone.close()
        elif gone in self.leaving:
            del self.leaving[gone]
            gone.close()

    def is_busy(self) -> bool:
        running = (found for live in self.live.values() for found in live.attached)
        waiting = bool(self.leaving or self.unwritten)
        return waiting or any(found.is_busy() for found in running)

    def step(self) -> None:
        """Serve those attached who could not take or give everything at once."""
        self._write_exits()
        for live in self.live.values():
            for found in list(live.attached):
                if found.is_busy() and not found.step():
                    self._let_go(live.attached, found, live.pump)
        for found in list(self.leaving):
            if not found.step() or not found.tap.is_behind():
                self._let_go(self.leaving, found, None)

    def _let_go(
        self, of: dict[Attachment, Callable[[], None]], found: Attachment, pump: Pump | None
    ) -> None:
        if pump is not None:
            pump.taps.remove(found.tap)
        found.close()
        of.pop(found)()

    def ended(self, pid: int, status: int) -> bool:
        """A child is no more; whether it was one of these."""
        for live in self.live.values():
            if live.holder == pid:
                live.holder = 0
                if live.status is not None:
                    self._finish(live)
                return True
            if live.pid == pid and live.status is None:
                live.status = status
                if not live.holder:
                    self._finish(live)
                return True
        return False

    def adopt(self) -> None:
        """Take over what a launcher before this one left running."""
        for name in list(self.records.names("containers")):
            spec = self.records.container(name)
            if spec is None or self.records.exit(name) is not None:
                continue
            state = read_json(f"{self.records.container_dir(name)}/state.json")
            live = self._listen(spec)
            if state is None or process_start(state["pid"]) != state["born"]:
                live.pid, live.status = (state or {}).get("pid", 0), UNKNOWN
                if state is None:
                    self._note(live, ())  # it died between its spec and its first process
                self._finish(live)
                continue
            live.pid, live.pidfd = state["pid"], os.pidfd_open(state["pid"])
            self.selector.register(
                live.pidfd, selectors.EVENT_READ, functools.partial(self._lost, live)
            )

    def _lost(self, live: Live) -> None:
        """An adopted one ended: another's child, so nobody can say how."""
        self.selector.unregister(live.pidfd)
        live.status = UNKNOWN
        self._finish(live)

    def _listen(self, spec: Container) -> Live:
        """FIFOs and the pump behind them."""
        folder = self.records.container_dir(spec.id)
        streams = ("stdout",) if spec.tty else ("stdout", "stderr")
        for fifo in (*streams, *(("stdin",) if spec.stdin else ())):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(f"{folder}/{fifo}", 0o600)
        live = Live(spec, Pump(folder, spec.output, streams))
        if spec.stdin and spec.stdin_once and not spec.tty:
            live.stdin = os.open(f"{folder}/stdin", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        for stream, fd in live.pump.fds.items():
            self.selector.register(
                fd, selectors.EVENT_READ, functools.partial(self._pump, live, stream)
            )
        self.live[spec.id] = live
        return live

    def _pump(self, live: Live, stream: str) -> None:
        live.pump.step(stream, time.time_ns())

    def _close_input(self, live: Live) -> None:
        if live.stdin >= 0:
            os.close(live.stdin)
            live.stdin = -1

    def _born(self, live: Live, outcome: Outcome, answer: Callable[[Outcome], None]) -> None:
        if outcome.error and outcome.start:
            live.refusal = outcome.error
            live.status = START_ERROR_CODE << 8
            self._finish(live)
        elif outcome.error:
            self._forget(live)
            self.cgroups.kill(live.spec.cgroup)
            remove_tree(self.records.container_dir(live.spec.id))
        else:
            if outcome.warnings:
                self._note(live, outcome.warnings)
            if live.spec.tty:
                live.holder = self._hold(live, outcome.fds[0])
        answer(outcome)

    def _hold(self, live: Live, master: int) -> int:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.dup2(master, 3, inheritable=False)
                sc.close_range(4)
                sc.set_process_name("sampan-terminal")
                hold_terminal(3, self.records.container_dir(live.spec.id), live.spec.stdin)
            os._exit(0)
        os.close(master)
        return pid

    def _note(self, live: Live, warnings: tuple[str, ...]) -> None:
        state = {
            "pid": live.pid,
            "born": process_start(live.pid),
            "started": time.time(),
            "warnings": warnings,
        }
        write_json(f"{self.records.container_dir(live.spec.id)}/state.json", state)

    def _finish(self, live: Live) -> None:
        """Its first process is no more: end the rest, keep the output, write how it ended."""
        self.cgroups.kill(live.spec.cgroup)
        self._forget(live)
        oom = self.cgroups.oom_kills(live.spec.cgroup) > 0
        self.unwritten[live.spec.id] = exit_of(live, time.time(), oom)
        self._write_exits()

    def _write_exits(self) -> None:
        """To disk, then tell; what a full disk refuses is kept and tried again."""
        for name, how in list(self.unwritten.items()):
            with contextlib.suppress(OSError):
                self.records.write_exit(name, how)
                del self.unwritten[name]
                self.tell_exit(name)

    def _forget(self, live: Live) -> None:
        for fd in live.pump.fds.values():
            self.selector.unregister(fd)
        live.pump.finish(time.time_ns)
        self.leaving.update(live.attached)
        live.attached.clear()
        self._close_input(live)
        if live.pidfd >= 0:
            os.close(live.pidfd)
        del self.live[live.spec.id]

    def _running(self, name: str) -> Live:
        live = self.live.get(name)
        if live is None or live.status is not None:
            raise Refused(f"container {name} is not running")
        return live

    def _spec(self, name: str) -> Container:
        spec = self.records.container(name)
        if spec is None:
            raise Refused(f"container {name} has no spec")
        return spec
