"""Links, addresses, routes, neighbours and forwarding entries of one network namespace.

Desired state goes in; an implementation changes only what differs. Doing it twice is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Vxlan:
    """RFC 7348; `local` is the underlay address that encapsulated packets leave from."""

    vni: int
    local: str
    port: int = 8472
    device: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it should be. `kind` is bridge, vxlan or dummy; an empty kind means "exists
    already".
    """

    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    """With prefix length; addresses that are on the link and not listed here stay."""
    vxlan: Vxlan | None = None


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair of links; `peer` is made in the namespace at the path `netns`."""

    name: str
    peer: str
    netns: str
    mtu: int = 0
    mac: str = ""
    """Of the peer; empty = the kernel's choice."""
    master: str = ""
    """A bridge that `name` becomes a port of."""
    hairpin: bool = False
    """Whether the bridge may send a packet back through the port it came from."""


@dataclass(frozen=True, slots=True)
class Route:
    to: str
    via: str = ""
    device: str = ""
    onlink: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent ARP or NDP entry."""

    ip: str
    mac: str


@dataclass(frozen=True, slots=True)
class Forward:
    """A permanent forwarding entry: frames for this MAC leave to that underlay address."""

    mac: str
    to: str


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link as the kernel has it."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    addresses: tuple[str, ...]


class Links(Protocol):
    """One namespace's links. All calls are short (microseconds) and may be made from an event loop.

    Every method raises OSError with the kernel's errno when it refuses.
    """

    def all(self) -> tuple[LinkInfo, ...]: ...

    def ensure(self, link: Link) -> None:
        """Make or correct a link and bring it up. A link of that name and another kind is
        replaced.
        """
        ...

    def ensure_veth(self, veth: Veth) -> None:
        """Make the pair unless `name` exists; brings up `name` (the peer's owner brings up the
        peer).
        """
        ...

    def set_address(self, device: str, address: str, *, prefix_route: bool = True) -> None: ...

    def up(self, device: str) -> None: ...

    def delete(self, device: str) -> None:
        """Remove a link; an absent one is no error."""
        ...

    def add_routes(self, routes: Iterable[Route]) -> None:
        """Add or replace; one round trip for all."""
        ...

    def sync_routes(self, device: str, routes: Iterable[Route]) -> None:
        """Make the static routes through a device exactly these; connected routes stay."""
        ...

    def sync_neighbours(self, device: str, entries: Iterable[Neighbour]) -> None: ...

    def sync_forwards(self, device: str, entries: Iterable[Forward]) -> None: ...

    def routes(self) -> tuple[Route, ...]:
        """The main table, both families."""
        ...

    def close(self) -> None: ...
