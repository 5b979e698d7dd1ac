"""Which of the machine's mounts a container on the machine's own root is shown: pure text work.

An overlay shows only the file system of its lower directory, not what is mounted below it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.linux.real import syscalls as sc

NOT_LOCAL = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "ncpfs", "autofs")
)
NOT_FILES = frozenset(
    (
        "proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "nsfs", "debugfs",
        "tracefs", "securityfs", "pstore", "bpf", "configfs", "fusectl", "hugetlbfs", "binfmt_misc",
        "rpc_pipefs", "efivarfs", "selinuxfs",
    )
)  # fmt: skip
KERNEL_PLACES = ("/proc", "/sys", "/dev")
SCRATCH_PLACES = ("/tmp", "/var/tmp", "/run", "/var/run", "/var/lock", "/run/lock")
_FLAGS = {
    "nosuid": sc.MS_NOSUID, "nodev": sc.MS_NODEV, "noexec": sc.MS_NOEXEC,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostMount:
    """One mount to show; `flags` are those it has already and must keep."""

    place: str
    writable: bool = False
    """A place that programs expect to write to: shown copy-on-write instead of read-only."""
    flags: int = 0


def local_mounts(mountinfo: str, hidden: tuple[str, ...] = ()) -> tuple[HostMount, ...]:
    """Read the text of /proc/self/mountinfo; parents come before what is mounted below them."""
    found: dict[str, HostMount] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        columns = left.split(" ")
        place, kind = unescaped(columns[4]), right.split(" ", 1)[0]
        if _is_shown(place, kind, hidden):
            flags = sum(_FLAGS.get(option, 0) for option in columns[5].split(","))
            found[place] = HostMount(place, place in SCRATCH_PLACES, flags)
    return tuple(sorted(found.values(), key=lambda mount: mount.place.count("/")))


def _is_shown(place: str, kind: str, hidden: tuple[str, ...]) -> bool:
    if place == "/" or kind in NOT_FILES or kind in NOT_LOCAL:
        return False
    return not any(is_below(place, top) for top in (*KERNEL_PLACES, *hidden))


def is_below(path: str, top: str) -> bool:
    """Whether `path` is `top` or inside it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def unescaped(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
