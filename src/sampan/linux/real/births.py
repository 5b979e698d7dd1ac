"""Making children of the launcher, and hearing from them until they have executed their command."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from sampan.linux.real import syscalls as sc

MAX_FDS = 4
MSG_CMSG_CLOEXEC = 0x40000000


class Refused(Exception):
    """A request that cannot be done; `start` says that the command itself is at fault."""

    def __init__(self, message: str, *, start: bool = False) -> None:
        super().__init__(message)
        self.start = start


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a birth went; without an error the command runs."""

    error: str = ""
    start: bool = False
    warnings: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Birth:
    """A child between clone and exec; `done` is called once."""

    pid: int
    status: socket.socket
    done: Callable[[Outcome], None]
    text: bytes = b""
    fds: list[int] = field(default_factory=list)

    def hear(self) -> bool:
        """Take what the child said; True when it will say no more."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.status, 65536, MAX_FDS, MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return False
            except OSError:
                return True
            self.fds += fds
            self.text += data
            if not data:
                return True

    def outcome(self) -> Outcome:
        error, start, warnings = "", False, []
        for line in self.text.splitlines():
            if line:
                said = json.loads(line)
                error, start = said.get("error", error), said.get("start", start)
                warnings += [said["warning"]] if "warning" in said else []
        return Outcome(error, start, tuple(warnings), tuple(self.fds))


def give_birth(
    work: Callable[[socket.socket], NoReturn],
    done: Callable[[Outcome], None],
    *,
    flags: int,
    cgroup_fd: int = -1,
    pid_namespace: str = "",
) -> Birth:
    """Run `work` in a new child, born into namespaces, a cgroup and (a path) a PID namespace."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        with _children_in(pid_namespace):
            pid = sc.clone(flags, cgroup_fd)
            if pid == 0:
                gc.disable()  # it would only copy pages that are about to be thrown away
                work(theirs)
    except OSError as error:
        ours.close()
        raise Refused(f"cannot make a process: {error.strerror}") from None
    finally:
        theirs.close()
        if cgroup_fd >= 0:
            os.close(cgroup_fd)
    return Birth(pid, ours, done)


@contextlib.contextmanager
def _children_in(path: str) -> Iterator[None]:
    """Children are born into the PID namespace at `path`; this process stays where it is."""
    if not path:
        yield
        return
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    away = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sc.setns(away, sc.CLONE_NEWPID)
        try:
            yield
        finally:
            sc.setns(home, sc.CLONE_NEWPID)
    finally:
        os.close(home)
        os.close(away)
