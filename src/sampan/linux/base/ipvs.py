"""IPVS: virtual servers with their destinations, and the device that holds their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol


class IpvsError(Exception):
    """The kernel refused, or has no IPVS; the message says which and what to do."""


class VirtualServer(NamedTuple):
    """Where clients knock; `protocol` is tcp, udp or sctp."""

    ip: str
    port: int
    protocol: str


class Destination(NamedTuple):
    """Who answers. Weight 0 takes no new connections, those that stand go on."""

    ip: str
    port: int
    weight: int = 1


class Serving(NamedTuple):
    """How a virtual server chooses; `persistence_s` keeps a client with its destination."""

    scheduler: str
    persistence_s: int
    destinations: tuple[Destination, ...]


class Ipvs(Protocol):
    """The virtual servers of one network namespace."""

    def probe(self) -> str:
        """Why there is no IPVS here, with the remedy; empty if there is."""
        ...

    def servers(self) -> dict[VirtualServer, Serving]:
        """All that there are. Raises IpvsError."""
        ...

    def put(
        self, servers: Mapping[VirtualServer, Serving], there: Mapping[VirtualServer, Serving]
    ) -> None:
        """Make virtual servers as described; `there` is how those that exist are now. Raises
        IpvsError.
        """
        ...

    def remove(self, servers: Iterable[VirtualServer]) -> None: ...

    def connections(self, server: VirtualServer) -> dict[tuple[str, int], int]:
        """How many connections each destination still has, active or closing."""
        ...

    def holds(self, device: str) -> bool:
        """Whether a dummy device is there."""
        ...

    def addresses(self, device: str) -> frozenset[str]:
        """What a dummy device holds; empty if it is not there."""
        ...

    def hold(self, device: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Change the addresses of a dummy device, made when it is missing. Raises IpvsError."""
        ...

    def drop_device(self, device: str) -> None: ...

    def tune(self, values: Mapping[str, int]) -> None:
        """Set switches by their path under /proc/sys/net; those that are missing stay so."""
        ...
