"""Mounts that outlive the process that made them (volumes of pods); a container's own live in its
mount namespace and are no business of this file.
"""

from __future__ import annotations

from typing import Protocol


class Mounts(Protocol):
    def tmpfs(self, path: str, *, size_bytes: int = 0, mode: int = 0o777) -> None:
        """A memory file system at an existing directory; one that is there stays."""
        ...

    def unmount(self, path: str) -> None:
        """Take away whatever is mounted at `path` or below it; nothing there is fine."""
        ...

    def mounted(self, under: str) -> tuple[str, ...]:
        """Mount points at or below `under`, the deepest first."""
        ...
