"""Control groups v1, v2 and hybrid behind one path (see linux.base.cgroups).

v1       one directory per controller        /sys/fs/cgroup/memory/<path>
unified  one directory for all               /sys/fs/cgroup/unified/<path>, /sys/fs/cgroup/<path>
hybrid   both: limits where the controller is, the unified one for kill and for eBPF
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from sampan.linux.base.cgroups import Usage
from sampan.linux.base.processes import Limits

V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")
V2_CONTROLLERS = ("cpu", "memory", "pids")
CPU_PERIOD_US = 100_000
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where each controller is mounted."""

    v1: dict[str, str] = field(default_factory=dict)
    unified: str = ""

    def roots(self) -> tuple[str, ...]:
        """Every distinct mount that groups are made in."""
        found = dict.fromkeys(self.v1[name] for name in V1_CONTROLLERS if name in self.v1)
        return (*found, *([self.unified] if self.unified else []))


def hierarchies(mountinfo: str) -> Hierarchies:
    """Read the text of /proc/self/mountinfo."""
    v1: dict[str, str] = {}
    unified = ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        place = left.split(" ")[4]
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            for name in options.split(","):
                if name in V1_CONTROLLERS:
                    v1.setdefault(name, place)
    return Hierarchies(v1, unified)


def own_hierarchies() -> Hierarchies:
    with open("/proc/self/mountinfo") as file:
        return hierarchies(file.read())


def v1_settings(limits: Limits) -> tuple[tuple[str, str, str], ...]:
    """(controller, file, value) for one v1 group."""
    wanted = (
        ("cpu", "cpu.shares", limits.cpu_shares),
        ("cpu", "cpu.cfs_quota_us", limits.cpu_quota_us),
        ("memory", "memory.limit_in_bytes", limits.memory_bytes),
        ("pids", "pids.max", limits.pids),
    )
    return tuple((controller, name, str(value)) for controller, name, value in wanted if value)


def v2_settings(limits: Limits) -> tuple[tuple[str, str, str], ...]:
    """The same for the unified hierarchy; the weight follows upstream's scale for shares."""
    rows: list[tuple[str, str, str]] = []
    if limits.cpu_shares:
        weight = 1 + ((min(max(limits.cpu_shares, 2), 262144) - 2) * 9999) // 262142
        rows.append(("cpu", "cpu.weight", str(weight)))
    if limits.cpu_quota_us:
        rows.append(("cpu", "cpu.max", f"{limits.cpu_quota_us} {CPU_PERIOD_US}"))
    if limits.memory_bytes:
        rows.append(("memory", "memory.max", str(limits.memory_bytes)))
    if limits.pids:
        rows.append(("pids", "pids.max", str(limits.pids)))
    return tuple(rows)


class KernelCgroups:
    """The machine's own."""

    def __init__(self, where: Hierarchies | None = None) -> None:
        self.where = own_hierarchies() if where is None else where

    def ensure(self, path: str, limits: Limits) -> None:
        for root in self.where.roots():
            if root == self.where.unified:
                _make_unified(root, path)
            else:
                os.makedirs(f"{root}/{path}", mode=0o755, exist_ok=True)
        for controller, name, value in v1_settings(limits):
            if controller in self.where.v1:
                _write(f"{self.where.v1[controller]}/{path}/{name}", value)
        for controller, name, value in v2_settings(limits):
            if self.where.unified and controller not in self.where.v1:
                _write(f"{self.where.unified}/{path}/{name}", value)

    def open_unified(self, path: str) -> int:
        """A descriptor for `clone`, -1 where there is no unified hierarchy."""
        if not self.where.unified:
            return -1
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(f"{self.where.unified}/{path}", flags)

    def join_v1(self, path: str) -> None:
        """Move the calling process, which must have one thread: `tasks` takes no global lock."""
        for root in self.where.roots():
            if root != self.where.unified:
                _write(f"{root}/{path}/tasks", "0")

    def join_unified(self, path: str) -> None:
        """The slow way, where clone could not do it."""
        if self.where.unified:
            _write(f"{self.where.unified}/{path}/cgroup.procs", "0")

    def usage(self, path: str, now: float) -> Usage | None:
        return self._usage_v1(path, now) if self.where.v1 else self._usage_v2(path, now)

    def processes(self, path: str) -> tuple[int, ...]:
        pids: dict[int, None] = {}
        for root in (self.where.unified,) if self.where.unified else self.where.roots():
            for folder in _tree(f"{root}/{path}"):
                pids.update(dict.fromkeys(map(int, _read(f"{folder}/cgroup.procs").split())))
        return tuple(pids)

    def kill(self, path: str) -> None:
        if self.where.unified and _write(f"{self.where.unified}/{path}/cgroup.kill", "1"):
            return
        for pid in self.processes(path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, path: str) -> None:
        for root in self.where.roots():
            for folder in _tree(f"{root}/{path}"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(folder)

    def remove_empty_parents(self, path: str) -> None:
        """`sampan/c` and `sampan` when nobody else is in them."""
        for root in self.where.roots():
            above = os.path.dirname(path)
            with contextlib.suppress(OSError):
                while above:
                    os.rmdir(f"{root}/{above}")
                    above = os.path.dirname(above)

    def oom_kills(self, path: str) -> int:
        """How often the kernel killed a process of this group for memory."""
        if "memory" in self.where.v1:
            text = _read(f"{self.where.v1['memory']}/{path}/memory.oom_control")
        else:
            text = _read(f"{self.where.unified}/{path}/memory.events")
        return _table(text).get("oom_kill", 0)

    def _usage_v1(self, path: str, now: float) -> Usage | None:
        memory = f"{self.where.v1.get('memory', '')}/{path}"
        cpu = _read(f"{self.where.v1.get('cpuacct', '')}/{path}/cpuacct.usage")
        if not cpu and not os.path.isdir(memory):
            return None
        stat = _table(_read(f"{memory}/memory.stat"))
        used = _int(_read(f"{memory}/memory.usage_in_bytes"))
        limit = _int(_read(f"{memory}/memory.limit_in_bytes"))
        return Usage(
            time=now,
            cpu_ns=_int(cpu),
            memory=used,
            working_set=max(0, used - stat.get("total_inactive_file", 0)),
            rss=stat.get("total_rss", 0),
            cache=stat.get("total_cache", 0),
            page_faults=stat.get("total_pgfault", 0),
            major_page_faults=stat.get("total_pgmajfault", 0),
            memory_limit=0 if limit >= _UNLIMITED else limit,
            processes=len(self.processes(path)),
            oom_kills=self.oom_kills(path),
        )

    def _usage_v2(self, path: str, now: float) -> Usage | None:
        folder = f"{self.where.unified}/{path}"
        if not self.where.unified or not os.path.isdir(folder):
            return None
        stat = _table(_read(f"{folder}/memory.stat"))
        used = _int(_read(f"{folder}/memory.current"))
        return Usage(
            time=now,
            cpu_ns=_table(_read(f"{folder}/cpu.stat")).get("usage_usec", 0) * 1000,
            memory=used,
            working_set=max(0, used - stat.get("inactive_file", 0)),
            rss=stat.get("anon", 0),
            cache=stat.get("file", 0),
            page_faults=stat.get("pgfault", 0),
            major_page_faults=stat.get("pgmajfault", 0),
            memory_limit=_int(_read(f"{folder}/memory.max")),
            processes=len(self.processes(path)),
            oom_kills=self.oom_kills(path),
        )


def _make_unified(root: str, path: str) -> None:
    """Make every level, handing the controllers down; a level that refuses keeps its own."""
    if os.path.isdir(f"{root}/{path}"):
        return
    here = root
    for part in path.split("/"):
        offered = _read(f"{here}/cgroup.controllers").split()
        handed = _read(f"{here}/cgroup.subtree_control").split()
        for name in V2_CONTROLLERS:
            if name in offered and name not in handed:
                _write(f"{here}/cgroup.subtree_control", f"+{name}")
        here = f"{here}/{part}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(here, 0o755)


def _tree(folder: str) -> Iterator[str]:
    """The group and everything below it, children first."""
    try:
        names = [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        yield from _tree(name)
    yield folder


def _write(path: str, text: str) -> bool:
    """One write(2), as the kernel wants it; False when it is refused."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _read(path: str) -> str:
    """Raw reads: half of the system calls of a file object, and groups are read often."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        data = b""
        while piece := os.read(fd, 65536):
            data += piece
        return data.decode()
    except OSError:
        return ""
    finally:
        os.close(fd)


def _int(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else 0


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
