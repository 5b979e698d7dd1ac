"""Mounts that outlive their maker, in the machine's mount namespace (see linux.base.mounts)."""

from __future__ import annotations

import contextlib
import os

from sampan.linux.real import syscalls as sc
from sampan.linux.real.hostmounts import is_below, unescaped


class KernelMounts:
    """The machine's own."""

    def tmpfs(self, path: str, *, size_bytes: int = 0, mode: int = 0o777) -> None:
        if os.path.realpath(path) in self.mounted(path):
            return
        size = f",size={size_bytes}" if size_bytes else ""
        sc.mount("tmpfs", path, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, f"mode={mode:o}{size}")

    def unmount(self, path: str) -> None:
        for place in self.mounted(path):
            with contextlib.suppress(OSError):
                sc.umount(place)

    def mounted(self, under: str) -> tuple[str, ...]:
        real = os.path.realpath(under)
        with open("/proc/self/mountinfo") as file:
            places = (unescaped(line.split(" ", 5)[4]) for line in file)
            return tuple(sorted((p for p in places if is_below(p, real)), key=len, reverse=True))
