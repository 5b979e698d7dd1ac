"""Socket load balancing in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.linux.base.bpf import BpfError, SocketEnd, SocketService


class FakeSocketBalancer:
    """Implements `SocketBalancer`; `services` is what the maps would hold."""

    def __init__(self, lacking: str = "") -> None:
        self.services: dict[SocketService, tuple[SocketEnd, ...]] = {}
        self.attached = False
        self.pods: tuple[str, ...] = ()
        self.writes = 0
        self.refuse = ""
        self.meddled = False
        """Set it as somebody else who changes the maps; `start` finds it out."""
        self._lacking = lacking

    def probe(self) -> str:
        return self._lacking

    def start(self, pods: Sequence[str]) -> Mapping[SocketService, tuple[SocketEnd, ...]]:
        self._refused()
        self.pods = tuple(pods)
        self.attached = True
        self.meddled = False
        return dict(self.services)

    def set(self, services: Mapping[SocketService, Sequence[SocketEnd]]) -> None:
        self._refused()
        self.writes += len(services)
        self.services.update({one: tuple(ends) for one, ends in services.items()})

    def remove(self, services: Sequence[SocketService]) -> None:
        self._refused()
        self.writes += len(services)
        for one in services:
            del self.services[one]

    def whole(self) -> bool:
        return self.attached and not self.meddled

    def stop(self) -> None:
        self.attached = False
        self.services.clear()

    def _refused(self) -> None:
        if self.refuse:
            word, self.refuse = self.refuse, ""
            raise BpfError(word)
