"""Mounts as a table in memory; directories underneath stay what they are."""

from __future__ import annotations


class FakeMounts:
    """`table` maps a mount point to its size in bytes (0 = none given)."""

    def __init__(self) -> None:
        self.table: dict[str, int] = {}

    def tmpfs(self, path: str, *, size_bytes: int = 0, mode: int = 0o777) -> None:
        self.table.setdefault(path, size_bytes)

    def unmount(self, path: str) -> None:
        for place in self.mounted(path):
            del self.table[place]

    def mounted(self, under: str) -> tuple[str, ...]:
        inside = (p for p in self.table if p == under or p.startswith(under.rstrip("/") + "/"))
        return tuple(sorted(inside, key=len, reverse=True))
