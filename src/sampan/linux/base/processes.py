"""The container runtime contract: sandboxes, containers, and sessions inside them.

A sandbox is a set of namespaces and a cgroup that a pod's containers share; a container is one
process tree with a root file system of its own. Names and pods mean nothing here: who asks keeps
its own words in `labels`, which come back word for word after any restart.

    run_sandbox -> start ... exits() tells the id -> remove -> remove_sandbox
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

LOST_EXIT_CODE = 137
"""Reported for an exit that nobody saw (`Exit.known` is false then)."""


class RuntimeFailure(Exception):
    """The runtime could not do it; the message is made for a person."""


class StartFailure(RuntimeFailure):
    """The container's own command could not be started."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Zero means: leave the kernel's default."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    """Of every 100 ms."""
    memory_bytes: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Namespaces and the cgroup of one pod."""

    id: str
    cgroup: str
    """Path below every hierarchy's root, `sampan/<cluster>/<node>/<pod uid>`."""
    hostname: str = ""
    host_network: str = ""
    """Path of the network namespace to share; empty = one of its own."""
    host_ipc: bool = False
    shared_pid: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    """`kind` is bind (a host path) or tmpfs. `propagation`: private, slave or shared."""

    target: str
    source: str = ""
    kind: str = "bind"
    readonly: bool = False
    propagation: str = "private"
    options: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system: read-only layers, the topmost first, under a writable upper one."""

    layers: tuple[str, ...] = ("/",)
    host: bool = True
    """Layers are this machine's own root: its other local mounts are shown read-only as well."""
    scratch: str = ""
    """Directory for the writable layer; empty = memory."""
    hidden: tuple[str, ...] = ()
    """Paths that must not be seen inside."""


@dataclass(frozen=True, slots=True)
class User:
    """Names or numbers, looked up in the container's own files."""

    name: str = "0"
    group: str = ""
    """Empty = the user's own."""
    groups: tuple[int, ...] = ()
    own_groups: bool = True
    """Whether /etc/group of the root file system adds to `groups`."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the process may do."""

    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    readonly_root: bool = False
    unmasked: bool = False
    """/proc and /sys without read-only and masked paths."""
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """Where the output goes: a log file in CRI form, rotated by size."""

    path: str = ""
    max_bytes: int = 10 << 20
    files: int = 5


@dataclass(frozen=True, slots=True)
class Container:
    """One container, complete: the same bundle always starts the same thing."""

    id: str
    sandbox: str
    argv: tuple[str, ...]
    cgroup: str
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    root: Root = Root()
    mounts: tuple[Mount, ...] = ()
    rights: Rights = Rights()
    limits: Limits = Limits()
    output: Output = Output()
    host_pid: bool = False
    pid_of: str = ""
    """Another container whose PID namespace it shares."""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended."""

    code: int
    finished: float
    signal: int = 0
    oom_killed: bool = False
    known: bool = True
    """False: it is gone and nobody saw how."""
    message: str = ""
    """Why it could not be started; `code` is 128 then."""


@dataclass(frozen=True, slots=True)
class SandboxState:
    spec: Sandbox
    netns: str
    """Where its network namespace is pinned; the shared one for host network."""
    created: float
    ready: bool = True
    """False once its namespaces are gone (a reboot, a foreign hand)."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    spec: Container
    pid: int
    started: float
    exit: Exit | None = None
    warnings: tuple[str, ...] = ()
    """What the kernel refused that the container can live without (oom_score_adj, say)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the runtime knows, running or not yet removed."""

    sandboxes: tuple[SandboxState, ...] = ()
    containers: tuple[ContainerState, ...] = ()


@dataclass(frozen=True, slots=True)
class Stdio:
    """File descriptors that the caller opened and closes; -1 = none. The output of a container
    with a terminal goes to `stdout`.
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    terminal: int = -1
    """For `exec` with a terminal of its own: a Unix socket on which the descriptor of its master is
    sent (SCM_RIGHTS); the other three are not used then.
    """


class Sandboxes(Protocol):
    async def run_sandbox(self, spec: Sandbox) -> SandboxState:
        """Make it; one that is there is answered as it is. Raises RuntimeFailure."""
        ...

    async def remove_sandbox(self, sandbox: str) -> None:
        """End whatever still runs in it and give back everything; absent is fine."""
        ...

    async def dial(self, sandbox: str, family: int) -> socket.socket:
        """A TCP socket inside its network namespace, not yet connected. Raises RuntimeFailure."""
        ...


class Containers(Protocol):
    async def start(self, spec: Container) -> ContainerState:
        """Returns when the command has been executed. Raises StartFailure, RuntimeFailure."""
        ...

    async def signal(self, container: str, number: int, *, everyone: bool = False) -> None:
        """To its first process, or to every process in its cgroup; one that ended is fine."""
        ...

    async def remove(self, container: str) -> None:
        """Forget an ended container and its writable layer (its log stays); absent is fine."""
        ...

    async def inspect(self, container: str) -> ContainerState | None:
        """One of them as it is now; None when it is unknown."""
        ...

    async def snapshot(self) -> Snapshot: ...

    def exits(self) -> AsyncIterator[str]:
        """Ids of containers as they end, those that ended before the call included; for ever."""
        ...


class Sessions(Protocol):
    async def exec(self, container: str, argv: tuple[str, ...], stdio: Stdio) -> int:
        """Run a command beside the container's own; its exit code. Cancelling kills it. Raises
        StartFailure, RuntimeFailure.
        """
        ...

    async def attach(self, container: str, stdio: Stdio) -> None:
        """Copy the output from now on until the container ends; `stdin` is read until its end."""
        ...

    async def resize(self, container: str, columns: int, rows: int) -> None:
        """The container's own terminal."""
        ...


class Runtime(Sandboxes, Containers, Sessions, Protocol):
    """All of it."""
