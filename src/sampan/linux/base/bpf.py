"""Socket load balancing in the kernel: connections to a service are made to one of its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class BpfError(Exception):
    """The kernel refused a program or a map; the message says which and why."""


class SocketService(NamedTuple):
    """What programs connect to; `protocol` is tcp or udp."""

    ip: str
    port: int
    protocol: str


SocketEnd = tuple[str, int]


class SocketBalancer(Protocol):
    """The programs attached to one cgroup, and their maps. Programs and maps stay when the process
    ends: the next one finds them and goes on, without a gap.
    """

    def probe(self) -> str:
        """Why this kernel or this process cannot do it; empty if it can."""
        ...

    def start(self, pods: Sequence[str]) -> Mapping[SocketService, tuple[SocketEnd, ...]]:
        """Attach the programs, or adopt those that are attached; what their maps hold. A socket
        bound to an address outside of `pods` (ranges; none for everybody) is left alone, unless it
        is in this network namespace. Raises BpfError.
        """
        ...

    def set(self, services: Mapping[SocketService, Sequence[SocketEnd]]) -> None:
        """Give services new ends; each changes at once, never half. Raises BpfError."""
        ...

    def remove(self, services: Sequence[SocketService]) -> None:
        """Forget services; what is connected stays so. Raises BpfError."""
        ...

    def whole(self) -> bool:
        """Whether programs and maps are still as `start`, `set` and `remove` left them."""
        ...

    def stop(self) -> None:
        """Detach every program of ours from the cgroup, whoever attached it, and from all others
        what a proxy of this network namespace attached.
        """
        ...
