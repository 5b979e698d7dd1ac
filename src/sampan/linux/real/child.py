"""What happens in a child of the launcher between clone and exec. Nothing here returns.

The status socket tells the launcher how it went: one JSON object per line, `{"warning": ...}` as
often as needed, `{"error": ..., "start": bool}` last; its end without an error means "executed".
A container's terminal goes to the launcher over the same socket, as a descriptor.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from sampan.linux.base.processes import Container, Sandbox
from sampan.linux.real import identity, rootfs
from sampan.linux.real import syscalls as sc
from sampan.linux.real.cgroups import KernelCgroups

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430
SHM_OPTIONS = "mode=1777,size=65536k"
POD_SYSCTLS = {
    # What upstream's runtimes set, so that programs need no root for ping and low ports.
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
}


class CannotStart(Exception):
    """The command itself is at fault, not the machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container's own files are, and what it takes from its sandbox."""

    folder: str
    base: str
    sandbox: Sandbox
    network: str
    ipc: str
    shm: str


@dataclass(frozen=True, slots=True)
class Session:
    """A command beside a running container's own."""

    argv: tuple[str, ...]
    pidfd: int
    stdio: tuple[int, int, int]
    terminal: int = -1
    """A Unix socket that waits for the master's descriptor; -1 = no terminal."""


def sandbox(spec: Sandbox, folder: str, status: socket.socket) -> NoReturn:
    """Prepare the namespaces this process was born into and pin them, then end; or stay as the
    first process of a shared PID namespace.
    """
    with _telling(status):
        if not spec.host_network:
            _loopback_up()
            for name, value in {**POD_SYSCTLS, **spec.sysctls}.items():
                _sysctl(name, value)
            _pin("net", f"{folder}/net")
        if not spec.host_ipc:
            _pin("ipc", f"{folder}/ipc")
            os.mkdir(f"{folder}/shm")
            sc.mount("tmpfs", f"{folder}/shm", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, SHM_OPTIONS)
        if spec.shared_pid:
            _pause(status)
        os._exit(0)


def container(
    spec: Container, place: Place, cgroups: KernelCgroups, status: socket.socket
) -> NoReturn:
    """Become the container's first process."""
    with _telling(status):
        _fresh_signals()
        os.setsid()
        stdio = _stdio(spec, place.folder)
        cgroups.join_v1(spec.cgroup)
        _best_effort(spec, status)
        _enter_sandbox(place)
        around = rootfs.Surroundings(place.base, place.shm, _groups(cgroups, spec.cgroup))
        rootfs.build(spec, around)
        if spec.tty:
            stdio = _terminal(status)
            os.symlink("/dev/pts/0", "/dev/console")
        _execute(spec, spec.argv, stdio)


def session(
    spec: Container, what: Session, cgroups: KernelCgroups, status: socket.socket
) -> NoReturn:
    """Become a command inside the container that `what.pidfd` is the first process of."""
    with _telling(status):
        _fresh_signals()
        os.setsid()
        cgroups.join_v1(spec.cgroup)
        kinds = sc.CLONE_NEWNS | sc.CLONE_NEWNET | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS
        sc.setns(what.pidfd, kinds | sc.CLONE_NEWCGROUP)
        stdio = what.stdio
        if what.terminal >= 0:
            with socket.socket(fileno=what.terminal) as waiting:
                stdio = _terminal(waiting)
        _execute(spec, what.argv, stdio)


@contextlib.contextmanager
def _telling(status: socket.socket) -> Iterator[None]:
    """Whatever goes wrong is told to the launcher and ends the child."""
    try:
        yield
    except (CannotStart, identity.UnknownUser) as error:
        _tell(status, {"error": str(error), "start": True})
    except OSError as error:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        _tell(status, {"error": text or str(error), "start": False})
    except BaseException as error:  # noqa: BLE001 - the child's last words, whatever they are
        _tell(status, {"error": f"{type(error).__name__}: {error}", "start": False})
    finally:
        os._exit(128)


def _tell(status: socket.socket, what: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        status.sendall(json.dumps(what).encode() + b"\n")


def _pin(kind: str, path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    sc.mount(f"/proc/self/ns/{kind}", path, flags=sc.MS_BIND)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def _sysctl(name: str, value: str) -> None:
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if name in POD_SYSCTLS:
            return  # a kernel without that family; nobody asked for it
        raise CannotStart(f"sysctl {name} is unknown to this kernel") from None
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _pause(status: socket.socket) -> NoReturn:
    """Adopt and bury the orphans of a shared PID namespace for as long as the pod lives."""
    sc.set_process_name("pause")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    status.close()
    sc.close_range(3)
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        signal.sigwait({signal.SIGCHLD})


def _fresh_signals() -> None:
    """As a first process expects them: what the launcher, or whoever started it in the background,
    ignores could not even be trapped by a shell in the container.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for kept in range(signal.SIGSYS + 1, signal.SIGRTMIN):
        sc.default_action(kept)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _stdio(spec: Container, folder: str) -> tuple[int, int, int]:
    """FIFOs held open both ways: a log reader that dies takes no SIGPIPE to the pod."""
    if spec.tty:
        return (-1, -1, -1)
    flags = os.O_CLOEXEC | os.O_NOCTTY
    if not spec.stdin:
        stdin = os.open("/dev/null", os.O_RDONLY | flags)
    else:
        # With stdinOnce the launcher holds the only writing end: its close is the input's end.
        mode = os.O_RDONLY | os.O_NONBLOCK if spec.stdin_once else os.O_RDWR
        stdin = os.open(f"{folder}/stdin", mode | flags)
        os.set_blocking(stdin, True)
    out, err = (os.open(f"{folder}/{name}", os.O_RDWR | flags) for name in ("stdout", "stderr"))
    return stdin, out, err


def _best_effort(spec: Container, status: socket.socket) -> None:
    """What a container can live without: lowering the score needs CAP_SYS_RESOURCE."""
    if not spec.rights.oom_score_adj:
        return
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(spec.rights.oom_score_adj))
    except OSError as error:
        _tell(status, {"warning": f"oom_score_adj {spec.rights.oom_score_adj}: {error.strerror}"})


def _enter_sandbox(place: Place) -> None:
    _join(place.network, sc.CLONE_NEWNET)
    if place.ipc:
        _join(place.ipc, sc.CLONE_NEWIPC)
    sc.unshare(sc.CLONE_NEWUTS | sc.CLONE_NEWCGROUP)
    if place.sandbox.hostname:
        socket.sethostname(place.sandbox.hostname)


def _join(path: str, kind: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sc.setns(fd, kind)
    finally:
        os.close(fd)


def _groups(cgroups: KernelCgroups, path: str) -> tuple[tuple[str, str], ...]:
    """What is shown below /sys/fs/cgroup."""
    if not cgroups.where.v1:
        return (("", f"{cgroups.where.unified}/{path}"),) if cgroups.where.unified else ()
    return tuple((os.path.basename(root), f"{root}/{path}") for root in cgroups.where.roots())


def _terminal(to: socket.socket) -> tuple[int, int, int]:
    """Open a terminal of the container's own, make it the controlling one, give its master away."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, struct.pack("i", 0)))[0]
    slave = os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    socket.send_fds(to, [b"\n"], [master])
    os.close(master)
    return slave, slave, slave


def _execute(spec: Container, argv: tuple[str, ...], stdio: tuple[int, int, int]) -> NoReturn:
    who = identity.resolve_here(spec.user)
    env = dict(entry.split("=", 1) for entry in spec.env)
    env.setdefault("PATH", DEFAULT_PATH)
    env.setdefault("HOME", who.home)
    os.umask(0o022)
    os.makedirs(spec.cwd, mode=0o755, exist_ok=True)
    if stdio[0] >= 0 and os.isatty(stdio[0]):
        os.fchown(stdio[0], who.uid, -1)
    for wanted, fd in enumerate(stdio):
        _become_fd(fd, wanted)
    identity.assume(who, spec.rights)
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        raise CannotStart(f'chdir to cwd ("{spec.cwd}") failed: {error.strerror}') from None
    program = _program(argv[0], env["PATH"])
    try:
        os.execve(program, argv, env)
    except OSError as error:
        raise CannotStart(f"exec {program}: {(error.strerror or '').lower()}") from None


def _become_fd(fd: int, wanted: int) -> None:
    if fd < 0:
        fd = os.open("/dev/null", os.O_RDWR)
    os.dup2(fd, wanted, inheritable=True)


def _program(name: str, path: str) -> str:
    """Where the command is; the complaints are worded as upstream's runtime words them."""
    if "/" in name:
        if not os.path.exists(name):
            raise CannotStart(f'exec: "{name}": stat {name}: no such file or directory')
        if os.path.isdir(name) or not os.access(name, os.X_OK):
            raise CannotStart(f'exec: "{name}": permission denied')
        return name
    for folder in path.split(":"):
        found = os.path.join(folder or ".", name)
        if os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    raise CannotStart(f'exec: "{name}": executable file not found in $PATH')
