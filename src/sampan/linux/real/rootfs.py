"""A container's file system, put together in a mount namespace of its own and made its root.

1  writable overlay over the read-only layers        (still seen from the machine's root)
2  pivot into it; the old root stays the working directory for a moment
3  everything else is mounted: sources relative to the old root, targets absolute in the new
   one, so that no symlink inside the new root can lead out of it
4  the old root is let go; all of it ends with the namespace
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from sampan.linux.base.processes import Container, Mount, Root
from sampan.linux.real import syscalls as sc
from sampan.linux.real.hostmounts import HostMount, local_mounts

OVERLAY_MAGIC = 0x794C7630
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PLAIN = sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the sandbox and the machine add to the container's own bundle."""

    base: str
    """An existing directory to build on; never written to."""
    shm: str
    cgroups: tuple[tuple[str, str], ...]
    """(name under /sys/fs/cgroup or empty, directory of the container's own group)."""


def build(spec: Container, around: Surroundings) -> None:
    """Leave the calling process, in a new mount namespace, with the container's root as its own."""
    with open("/proc/self/mountinfo") as file:
        machine = local_mounts(file.read(), spec.root.hidden) if spec.root.host else ()
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("", "/", flags=sc.MS_REC | sc.MS_SLAVE)
    top = _overlay(spec, around.base)
    volumes = tuple((mount, os.path.realpath(mount.source)) for mount in spec.mounts)
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(top)
    sc.pivot_root(".", ".")
    os.fchdir(old)
    for mount in machine:
        _show(mount, spec.rights.privileged)
    for path in spec.root.hidden:
        _hide(path)
    _kernel_files(spec, around)
    for volume, source in volumes:
        _volume(volume, source, spec.rights.privileged)
    os.fchdir(old)
    sc.umount(".")
    os.chdir("/")
    os.close(old)
    if spec.rights.readonly_root:
        sc.mount("", "/", flags=sc.MS_REMOUNT | sc.MS_BIND | sc.MS_RDONLY | _nodev(spec))


def _nodev(spec: Container) -> int:
    """Device files made inside are dead, but for those of /dev; privileged ones may make more."""
    return 0 if spec.rights.privileged else sc.MS_NODEV


def _overlay(spec: Container, base: str) -> str:
    """Mount the writable root; where it is. The upper directory must not be on an overlay."""
    root = spec.root
    if root.scratch and not _is_overlay(root.scratch):
        with contextlib.suppress(OSError):
            _mount_overlay(root, root.scratch, base, _nodev(spec))
            return base
    sc.mount("tmpfs", base, "tmpfs", 0, "mode=755")
    os.mkdir(f"{base}/root")
    _mount_overlay(root, base, f"{base}/root", _nodev(spec))
    return f"{base}/root"


def _mount_overlay(root: Root, scratch: str, target: str, flags: int) -> None:
    for name in ("upper", "work"):
        os.makedirs(f"{scratch}/{name}", mode=0o755, exist_ok=True)
    os.chmod(f"{scratch}/upper", 0o755)
    # Relative names keep the option within one page however many layers there are.
    prefix = os.path.commonpath(root.layers)
    lower = ":".join(_escaped(os.path.relpath(layer, prefix)) for layer in root.layers)
    os.chdir(prefix)
    data = f"lowerdir={lower},upperdir={_escaped(scratch)}/upper,workdir={_escaped(scratch)}/work"
    try:
        sc.mount("overlay", target, "overlay", flags, data + ",volatile")
    except OSError:
        sc.mount("overlay", target, "overlay", flags, data)  # a kernel before 5.10


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _is_overlay(path: str) -> bool:
    """Whether the file system there is an overlay itself, which none can be written through."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split(" ", 3)[2] == number:
                return right.startswith("overlay ")
    return True


def _show(mount: HostMount, privileged: bool) -> None:
    """One of the machine's other mounts, read-only; scratch places get a copy-on-write layer."""
    target = os.path.realpath(mount.place)
    if not os.path.exists(target):
        return
    source = "." + mount.place
    try:
        if mount.writable:
            _scratch_copy(source, target)
        else:
            sc.mount(source, target, flags=sc.MS_BIND)
            flags = mount.flags | sc.MS_RDONLY | (0 if privileged else sc.MS_NODEV)
            sc.mount("", target, flags=sc.MS_REMOUNT | sc.MS_BIND | flags)
    except OSError:
        return  # a mount this process may not see (FUSE of another user) is not shown


def _scratch_copy(source: str, target: str) -> None:
    """/tmp and the like stay writable: a second overlay over what the machine has there."""
    held = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    old = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sc.mount("tmpfs", target, "tmpfs", sc.MS_NODEV, "mode=755")
    for name in ("upper", "work"):
        os.mkdir(f"{target}/{name}")
    like = os.fstat(held)
    os.chmod(f"{target}/upper", like.st_mode & 0o7777)
    os.chown(f"{target}/upper", like.st_uid, like.st_gid)
    os.fchdir(held)
    data = f"lowerdir=.,upperdir={target}/upper,workdir={target}/work"
    try:
        sc.mount("overlay", target, "overlay", sc.MS_NODEV, data)
    finally:
        os.fchdir(old)
        os.close(held)
        os.close(old)


def _hide(path: str) -> None:
    """A file is taken out of the overlay, a directory becomes empty."""
    if os.path.isdir(path):
        sc.mount("tmpfs", path, "tmpfs", _PLAIN | sc.MS_RDONLY, "mode=0555,size=4k")
    elif os.path.lexists(path):
        try:
            os.unlink(path)
        except OSError:  # on a mount that is shown read-only
            sc.mount("./dev/null", path, flags=sc.MS_BIND)


def _kernel_files(spec: Container, around: Surroundings) -> None:
    """/proc, /dev and /sys."""
    rights = spec.rights
    _folder("/proc")
    sc.mount("proc", "/proc", "proc", _PLAIN)
    _folder("/dev")
    if rights.privileged:
        sc.mount("./dev", "/dev", flags=sc.MS_BIND | sc.MS_REC)
        sc.mount("devpts", "/dev/pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, _DEVPTS)
    else:
        _devices()
    _folder("/dev/shm")
    sc.mount("." + around.shm, "/dev/shm", flags=sc.MS_BIND)
    with contextlib.suppress(OSError):
        _folder("/dev/mqueue")
        sc.mount("mqueue", "/dev/mqueue", "mqueue", _PLAIN)
    _folder("/sys")
    flags = _PLAIN | (0 if rights.privileged else sc.MS_RDONLY)
    try:
        sc.mount("sysfs", "/sys", "sysfs", flags)
    except OSError:  # a nested container may only show what its own outside shows
        sc.mount("./sys", "/sys", flags=sc.MS_BIND | sc.MS_REC)
    _cgroup_files(around.cgroups, rights.privileged)
    if not (rights.privileged or rights.unmasked):
        _masks()


_DEVPTS = "newinstance,ptmxmode=0666,mode=0620,gid=5"


def _devices() -> None:
    """A few bound devices on a file system where others made later do not work."""
    sc.mount("tmpfs", "/dev", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, "mode=755,size=65536k")
    for name in DEVICES:
        with open(f"/dev/{name}", "w"):
            pass
        sc.mount(f"./dev/{name}", f"/dev/{name}", flags=sc.MS_BIND)
    os.mkdir("/dev/pts")
    sc.mount("devpts", "/dev/pts", "devpts", sc.MS_NOSUID | sc.MS_NOEXEC, _DEVPTS)
    links = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "core": "kcore"}
    for name, target in links.items():
        os.symlink(f"/proc/self/{target}", f"/dev/{name}")
    os.symlink("pts/ptmx", "/dev/ptmx")


def _cgroup_files(groups: tuple[tuple[str, str], ...], privileged: bool) -> None:
    readonly = sc.MS_REMOUNT | sc.MS_BIND | _PLAIN | (0 if privileged else sc.MS_RDONLY)
    if not os.path.isdir("/sys/fs/cgroup"):
        return
    if all(name for name, _ in groups):
        sc.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", _PLAIN, "mode=755")
    for name, folder in groups:
        target = f"/sys/fs/cgroup/{name}".rstrip("/")
        _folder(target)
        sc.mount("." + folder, target, flags=sc.MS_BIND)
        sc.mount("", target, flags=readonly)


def _masks() -> None:
    for path in MASKED:
        if os.path.isdir(path):
            sc.mount("tmpfs", path, "tmpfs", _PLAIN | sc.MS_RDONLY, "size=0k")
        elif os.path.exists(path):
            sc.mount("/dev/null", path, flags=sc.MS_BIND)
    for path in READONLY:
        if os.path.exists(path):
            sc.mount(path, path, flags=sc.MS_BIND | sc.MS_REC)
            sc.mount("", path, flags=sc.MS_REMOUNT | sc.MS_BIND | sc.MS_RDONLY | _PLAIN)


def _volume(mount: Mount, source: str, privileged: bool) -> None:
    target = os.path.realpath(mount.target)
    if mount.kind == "tmpfs":
        _folder(target)
        sc.mount("tmpfs", target, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, mount.options)
        return
    relative = "." + source
    if os.path.isdir(relative):
        _folder(target)
    else:
        _file(target)
    sc.mount(relative, target, flags=sc.MS_BIND | sc.MS_REC)
    flags = os.statvfs(target).f_flag & _PLAIN  # same bits in both calls; what it has, it keeps
    flags |= (0 if privileged else sc.MS_NODEV) | (sc.MS_RDONLY if mount.readonly else 0)
    if flags and not _is_device(target):
        sc.mount("", target, flags=sc.MS_REMOUNT | sc.MS_BIND | flags)
    kinds = {"private": sc.MS_PRIVATE, "slave": sc.MS_SLAVE, "shared": sc.MS_SHARED}
    sc.mount("", target, flags=sc.MS_REC | kinds[mount.propagation])


def _is_device(path: str) -> bool:
    return not (os.path.isdir(path) or os.path.isfile(path))


def _folder(path: str) -> None:
    os.makedirs(path, mode=0o755, exist_ok=True)


def _file(path: str) -> None:
    if not os.path.lexists(path):
        _folder(os.path.dirname(path))
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
