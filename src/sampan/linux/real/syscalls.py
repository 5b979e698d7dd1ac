"""The system calls that Python 3.11 has no name for, each raising OSError; one line of policy none.

`clone` is clone3(2) with CLONE_INTO_CGROUP and CLONE_NEWPID: a child that is born inside its cgroup
never waits for the kernel's global migration lock (14 ms on an idle machine), and one fork is
enough for a PID namespace.
"""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC = 32, 4096, 16384
MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21
MNT_DETACH = 2

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME, PR_CAPBSET_DROP = 4, 8, 15, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_PDEATHSIG = 1

_SYS_CLONE3, _SYS_PIVOT_ROOT, _SYS_CLOSE_RANGE, _SYS_CAPSET = 435, 155, 436, 126
_PIVOT_ROOT_GENERIC, _CAPSET_GENERIC = 41, 91
_SYS_SIGACTION, _SIGACTION_GENERIC = 13, 134
_SIGSET_BYTES = 8
_CAPABILITY_VERSION_3 = 0x20080522

# PyDLL keeps the interpreter lock over the call: after clone the child goes on as if nothing was.
_libc = ctypes.PyDLL(None, use_errno=True)


def _number(x86: int, generic: int) -> int:
    return x86 if os.uname().machine == "x86_64" else generic


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size",
            "tls", "set_tid", "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


def clone(flags: int, cgroup_fd: int = -1) -> int:
    """Fork with namespaces; 0 in the child. Only for a process with one thread."""
    args = _CloneArgs(flags=flags, exit_signal=signal.SIGCHLD)
    if cgroup_fd >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup_fd
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid: int = _libc.syscall(_SYS_CLONE3, ctypes.byref(args), ctypes.sizeof(args))
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    api.PyOS_AfterFork_Parent()
    return _check(pid, "clone3")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); the message names the target."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {kind or source} on {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    _check(_libc.umount2(target.encode(), flags), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    number = _number(_SYS_PIVOT_ROOT, _PIVOT_ROOT_GENERIC)
    _check(_libc.syscall(number, new.encode(), old.encode()), f"pivot_root {new}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """`fd` is a namespace, or a pidfd with several flags (kernel 5.8)."""
    _check(_libc.setns(fd, flags), "setns")


def prctl(option: int, value: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def set_process_name(name: str) -> None:
    """What ps and /proc/<pid>/comm show (15 characters)."""
    _check(_libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0), "prctl name")


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Bit sets of the calling process."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    data = (ctypes.c_uint32 * 6)(
        effective & low, permitted & low, inheritable & low,
        effective >> high, permitted >> high, inheritable >> high,
    )  # fmt: skip
    number = _number(_SYS_CAPSET, _CAPSET_GENERIC)
    _check(_libc.syscall(number, ctypes.byref(header), ctypes.byref(data)), "capset")


def default_action(number: int) -> None:
    """Also for the two signals that the C library keeps to itself, and Python with it."""
    how = (ctypes.c_uint64 * 4)()  # SIG_DFL, no flags, no restorer, an empty mask
    call = _number(_SYS_SIGACTION, _SIGACTION_GENERIC)
    result = _libc.syscall(call, number, ctypes.byref(how), None, ctypes.c_size_t(_SIGSET_BYTES))
    _check(result, f"signal {number}")


def close_range(first: int) -> None:
    """Close every descriptor from `first` on."""
    result = _libc.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0)
    if result < 0:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
