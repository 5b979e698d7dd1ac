"""Sampan's own processes as facts on disk: who runs, under which pid, since when.

A record is believed only while the pid's start time agrees, so a reused pid is never mistaken.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sampan.cluster.paths import write_whole


@dataclass(frozen=True, slots=True)
class Process:
    """One process: which component, on which node (empty = none), and the kernel's facts."""

    component: str
    node: str
    pid: int
    started: int
    """Start time in clock ticks since boot (proc_pid_stat(5), field 22)."""

    @property
    def key(self) -> tuple[str, str]:
        return self.component, self.node


def start_time(pid: int) -> int:
    """0 when there is no such process, or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def is_alive(process: Process) -> bool:
    return start_time(process.pid) == process.started != 0


def _file(folder: Path, component: str, node: str) -> Path:
    return folder / (f"{component}@{node}" if node else component)


def record(folder: Path, component: str, node: str, pid: int) -> Process:
    """Write down a process that has just been started."""
    folder.mkdir(parents=True, exist_ok=True)
    process = Process(component, node, pid, start_time(pid))
    write_whole(_file(folder, component, node), json.dumps(asdict(process)))
    return process


def forget(folder: Path, process: Process) -> None:
    with contextlib.suppress(FileNotFoundError):
        _file(folder, process.component, process.node).unlink()


def living(folder: Path) -> list[Process]:
    """All recorded processes that run, in the order of their names."""
    found = []
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
                    found.append(Process(**json.loads(path.read_text())))
    return [process for process in found if is_alive(process)]


def watch_fd(process: Process) -> int | None:
    """A pidfd that becomes readable when the process ends; None if it has ended already."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if not is_alive(process):
        os.close(fd)
        return None
    return fd


def end(processes: Iterable[Process], *, grace_s: float) -> None:
    """SIGTERM to all, SIGKILL to those still there after `grace_s`; returns when all ended."""
    fds = {process: fd for process in processes if (fd := watch_fd(process)) is not None}
    try:
        for fd in fds.values():
            _signal(fd, signal.SIGTERM if grace_s else signal.SIGKILL)
        rest = _wait(set(fds.values()), grace_s)
        for fd in rest:
            _signal(fd, signal.SIGKILL)
        _wait(rest, 5.0)
    finally:
        for fd in fds.values():
            os.close(fd)


def _signal(fd: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, number)


def _wait(fds: set[int], timeout_s: float) -> set[int]:
    """Those that have not ended when the time is over."""
    rest, until = set(fds), time.monotonic() + timeout_s
    while rest and (left := until - time.monotonic()) > 0:
        readable, _, _ = select.select(list(rest), [], [], left)
        rest.difference_update(readable)
    return rest
