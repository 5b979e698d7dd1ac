"""A machine out of two values."""

from __future__ import annotations

from sampan.linux.base.machine import MachineFacts, MachineUsage


class FakeMachine:
    """`known` and `now` are what it answers."""

    def __init__(self) -> None:
        self.known = MachineFacts(4, 8 << 30, 100 << 30, kernel="6.1", os_image="Test Linux")
        self.now = MachineUsage(1_000_000_000, 6 << 30, 2 << 30, 10 << 30, 90 << 30, 100)

    def facts(self, directory: str) -> MachineFacts:
        return self.known

    def usage(self, directory: str) -> MachineUsage:
        return self.now
