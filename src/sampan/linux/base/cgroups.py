"""Control groups as the kubelet needs them, whatever the hierarchy: v1, v2 or hybrid.

A path like `sampan/c/n/p` means the directory of that name below every hierarchy's root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sampan.linux.base.processes import Limits


@dataclass(frozen=True, slots=True)
class Usage:
    """One reading. Times in nanoseconds since the group was made, memory in bytes."""

    time: float
    cpu_ns: int = 0
    memory: int = 0
    working_set: int = 0
    rss: int = 0
    cache: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    memory_limit: int = 0
    """0 = none."""
    processes: int = 0
    oom_kills: int = 0


class Cgroups(Protocol):
    def ensure(self, path: str, limits: Limits) -> None:
        """Make it (and its parents) and set the limits; limits the kernel refuses are skipped."""
        ...

    def usage(self, path: str, now: float) -> Usage | None:
        """None when there is no such group."""
        ...

    def processes(self, path: str) -> tuple[int, ...]:
        """Process ids in it and below it."""
        ...

    def kill(self, path: str) -> None:
        """SIGKILL to every process in it and below it."""
        ...

    def remove(self, path: str) -> None:
        """Remove it with everything below it; absent is fine. Raises OSError while in use."""
        ...
