"""What a machine is: sizes, versions, identities; read once, and the little that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Sizes in bytes."""

    cpus: int
    memory: int
    disk: int = 0
    """Of the file system that the given directory is on."""
    architecture: str = "amd64"
    """Go's word for it."""
    kernel: str = ""
    os_image: str = ""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    swap: int = 0
    max_pids: int = 32768


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """One reading. CPU in nanoseconds of all cores since boot."""

    cpu_ns: int
    memory_available: int
    memory_working_set: int
    disk_used: int
    disk_available: int
    processes: int


class Machine(Protocol):
    def facts(self, directory: str) -> MachineFacts: ...

    def usage(self, directory: str) -> MachineUsage: ...
