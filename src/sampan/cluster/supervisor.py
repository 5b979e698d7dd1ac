"""The one process that starts the others and starts them again: no event loop, no threads.

It forks, so it must stay simple: a list of roles, a pidfd for each, and a poll. What runs is on
disk (`processes`), so a new supervisor adopts what an old one has left. The control plane watches
the supervisor in turn and makes a new one (`respawn`) when it dies.

    launcher@node ... resolver    forked first, while the process is small
    controlplane  agent@node ...  forked after everything is imported: they share those pages
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.cluster import network, processes
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.cluster.processes import Process

SUPERVISOR = "supervisor"
STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Role:
    """A process that must run: `main` is called in the child and returns its exit code.

    A role that forks itself gives `spawn` instead, which returns the pid.
    """

    component: str
    node: str
    main: Callable[[ClusterConfig, Paths, str], int] | None = None
    spawn: Callable[[ClusterConfig, Paths, str], int] | None = None
    stage: int = 0
    """Forked when the warm-up of this number is done; those of 0 while the process is small."""


@dataclass(slots=True)
class Running:
    """A role's living process and the pidfd that tells its end."""

    process: Process
    fd: int


class Supervisor:
    """Keeps every role running until told to stop."""

    def __init__(self, config: ClusterConfig, paths: Paths, roles: list[Role]) -> None:
        self.config, self.paths, self.roles = config, paths, roles
        self.running: dict[tuple[str, str], Running] = {}
        self.due: dict[tuple[str, str], float] = {}
        self.deaths: dict[tuple[str, str], list[float]] = {}
        self.stop = False

    def run(self, warm_ups: Sequence[Callable[[], None]]) -> None:
        """Start what is missing, stage by stage, and watch all; returns after SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for living in processes.living(self.paths.processes):
            self._adopt(living)
        self._start_missing([role for role in self.roles if role.stage == 0])
        for stage, warm_up in enumerate(warm_ups, 1):
            warm_up()
            # Frozen objects are never visited by the collector, so a child's collections leave
            # the pages that it shares with us alone.
            gc.collect()
            gc.freeze()
            self._start_missing([role for role in self.roles if role.stage <= stage])
        while not self.stop:
            self._turn()

    def _stop(self, number: int, frame: object) -> None:
        self.stop = True

    def _adopt(self, process: Process) -> None:
        fd = processes.watch_fd(process)
        if fd is not None and process.component != SUPERVISOR:
            self.running[process.key] = Running(process, fd)

    def _start_missing(self, roles: list[Role]) -> None:
        for role in roles:
            key = (role.component, role.node)
            if key not in self.running and key not in self.due:
                self._start(role)

    def _start(self, role: Role) -> None:
        pid = role.spawn(self.config, self.paths, role.node) if role.spawn else os.fork()
        if pid == 0:
            self._child(role)
        process = processes.record(self.paths.processes, role.component, role.node, pid)
        fd = processes.watch_fd(process)
        if fd is None:
            self.due[(role.component, role.node)] = time.monotonic() + 1
            return
        self.running[(role.component, role.node)] = Running(process, fd)

    def _child(self, role: Role) -> None:
        """Become the role; never returns."""
        code = 1
        try:
            if not self._known(role):
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for running in self.running.values():
                os.close(running.fd)
            redirect(self.paths.log(role.component, role.node))
            with contextlib.suppress(OSError):
                Path("/proc/self/comm").write_text(f"sp-{role.component}"[:15])
            code = role.main(self.config, self.paths, role.node) if role.main else 0
        except BaseException:  # noqa: BLE001 - the last stop before the process ends: tell the log
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _known(self, role: Role) -> bool:
        """Record this child from within as well: its parent may be killed before it comes to it,
        and then nobody would know of it. False when all are to end.
        """
        if is_stopping(self.paths):
            return False
        processes.record(self.paths.processes, role.component, role.node, os.getpid())
        return not is_stopping(self.paths)

    def _turn(self) -> None:
        """Wait for a death, a start that is due, or a corpse that somebody left to us."""
        fds = {running.fd: key for key, running in self.running.items()}
        next_due = min(self.due.values(), default=time.monotonic() + 5)
        timeout = max(0.0, min(5.0, next_due - time.monotonic()))
        with contextlib.suppress(InterruptedError):
            readable, _, _ = select.select(list(fds), [], [], timeout)
            for fd in readable:
                self._died(fds[fd])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not self.stop and not is_stopping(self.paths):
            self._start_due()

    def _died(self, key: tuple[str, str]) -> None:
        """At once the first time; a role that keeps dying waits longer and longer, 5 s at most."""
        running = self.running.pop(key)
        os.close(running.fd)
        now = time.monotonic()
        recent = [at for at in self.deaths.get(key, []) if now - at < 30]
        delay = 0.0 if not recent else min(5.0, 0.1 * 2 ** len(recent))
        self.due[key] = now + delay
        self.deaths[key] = [*recent, now]

    def _start_due(self) -> None:
        now = time.monotonic()
        for role in self.roles:
            key = (role.component, role.node)
            if self.due.get(key, now + 1) <= now:
                del self.due[key]
                self._start(role)


def is_stopping(paths: Paths) -> bool:
    """Whether somebody takes the cluster down. Who records itself and asks then is either told, or
    found by them: they say so first, and look for processes then.
    """
    return (paths.run / STOPPING).exists() or not paths.run.exists()


def redirect(log: Path) -> None:
    """Standard output and error to a log file, standard input from nowhere."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nowhere = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    os.close(nowhere)


def main(
    config: ClusterConfig,
    paths: Paths,
    roles: list[Role],
    warm_ups: Sequence[Callable[[], None]],
) -> int:
    """The supervisor's whole life; 0 after a stop, and when another one runs already."""
    try:
        with network.lock(paths.run / "supervisor.lock"):
            processes.record(paths.processes, SUPERVISOR, "", os.getpid())
            if not is_stopping(paths):
                Supervisor(config, paths, roles).run(warm_ups)
    except network.Locked:
        return 0
    return 0


def respawn(paths: Paths, name: str) -> None:
    """Make a new supervisor, from a process that must not simply fork (it has threads)."""
    if is_stopping(paths):
        return
    log = os.open(paths.log(SUPERVISOR), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "sampan", "supervise", "--name", name],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
            setsid=True,
        )
    finally:
        os.close(log)
