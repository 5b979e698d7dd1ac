"""What this kernel and machine can do, tried rather than guessed; nothing stays behind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
from pathlib import Path

from sampan.linux.base.links import Link, Vxlan
from sampan.linux.real.links import NetlinkLinks

CAPABILITIES = {
    "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24, "CAP_MKNOD": 27, "CAP_BPF": 39,
}  # fmt: skip
NETLINK_NETFILTER = 12


def missing_capabilities(wanted: tuple[str, ...]) -> list[str]:
    """Those that this process does not hold (capabilities(7), `CapEff`)."""
    held = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
    return [name for name in wanted if not held >> CAPABILITIES[name] & 1]


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_filesystem(name: str) -> bool:
    return name in Path("/proc/filesystems").read_text().split()


def has_netfilter_netlink() -> bool:
    """Whether the kernel speaks nfnetlink at all (nf_tables, conntrack, ipset need it)."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError:
        return False
    return True


def has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def can_make_link(kind: str) -> bool:
    """Try it in a namespace that lives as long as one short child process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # A namespace without a name: it ends with this child.
            ctypes.CDLL(None).unshare(0x40000000)
            links = NetlinkLinks()
            vxlan = Vxlan(1, "127.0.0.1") if kind == "vxlan" else None
            links.ensure(Link("try0", kind, vxlan=vxlan))
            code = 0
        except OSError as error:
            code = 0 if error.errno == errno.EEXIST else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def program(name: str) -> str:
    """Where a program is, also outside a user's PATH; empty = nowhere."""
    folders = [
        *os.environ.get("PATH", "").split(os.pathsep),
        "/usr/sbin",
        "/sbin",
        "/usr/local/sbin",
    ]
    for folder in folders:
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return ""


def has_ipvs() -> bool:
    """The generic netlink family of ip_vs, or its /proc folder."""
    if Path("/proc/net/ip_vs").exists():
        return True
    release = os.uname().release
    with contextlib.suppress(OSError):
        return any(Path("/lib/modules", release).rglob("ip_vs.ko*"))
    return False


def has_cgroup_bpf() -> bool:
    """Whether a unified hierarchy is mounted for socket programs to attach to."""
    return any(" cgroup2 " in line for line in Path("/proc/mounts").read_text().splitlines())
