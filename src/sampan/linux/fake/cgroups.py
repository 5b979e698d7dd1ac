"""Control groups as a table in memory."""

from __future__ import annotations

from dataclasses import replace

from sampan.linux.base.cgroups import Usage
from sampan.linux.base.processes import Limits


class FakeCgroups:
    """`readings` and `members` are what a test puts there."""

    def __init__(self) -> None:
        self.groups: dict[str, Limits] = {}
        self.readings: dict[str, Usage] = {}
        self.members: dict[str, tuple[int, ...]] = {}

    def ensure(self, path: str, limits: Limits) -> None:
        self.groups[path] = limits

    def usage(self, path: str, now: float) -> Usage | None:
        if path not in self.groups:
            return None
        return replace(self.readings.get(path, Usage(now)), time=now)

    def processes(self, path: str) -> tuple[int, ...]:
        return tuple(pid for name in self._below(path) for pid in self.members.get(name, ()))

    def kill(self, path: str) -> None:
        for name in self._below(path):
            self.members.pop(name, None)

    def remove(self, path: str) -> None:
        if self.processes(path):
            raise OSError(16, f"{path} is in use")
        for name in self._below(path):
            del self.groups[name]

    def _below(self, path: str) -> list[str]:
        return [name for name in self.groups if name == path or name.startswith(path + "/")]
