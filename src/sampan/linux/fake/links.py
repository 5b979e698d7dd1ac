"""Links in memory: the same rules as the kernel's, as far as the pod network relies on them."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sampan.linux.base.links import Forward, Link, LinkInfo, Neighbour, Route, Veth


@dataclass(slots=True)
class FakeNamespaces:
    """All namespaces of a pretended machine, by path."""

    by_path: dict[str, FakeLinks] = field(default_factory=dict)

    def open(self, path: str) -> FakeLinks:
        return self.by_path.setdefault(path, FakeLinks(self))


class FakeLinks:
    """One namespace."""

    def __init__(self, machine: FakeNamespaces) -> None:
        self.machine = machine
        self.links: dict[str, LinkInfo] = {}
        self.masters: dict[str, str] = {}
        self.pairs: dict[str, tuple[FakeLinks, str]] = {}
        self.static: dict[str, Route] = {}
        self.neighbours: dict[str, tuple[Neighbour, ...]] = {}
        self.forwards: dict[str, tuple[Forward, ...]] = {}
        self._add("lo", "", "00:00:00:00:00:00", 65536)

    def _add(self, name: str, kind: str, mac: str, mtu: int) -> None:
        index = len(self.links) + 1
        self.links[name] = LinkInfo(index, name, kind, mac, mtu, up=False, addresses=())

    def _need(self, name: str) -> LinkInfo:
        if name not in self.links:
            raise OSError(errno.ENODEV, f"no link named {name}")
        return self.links[name]

    def all(self) -> tuple[LinkInfo, ...]:
        return tuple(self.links.values())

    def ensure(self, link: Link) -> None:
        have = self.links.get(link.name)
        if have is not None and link.kind and have.kind != link.kind:
            self.delete(link.name)
        if link.name not in self.links:
            if link.vxlan and link.vxlan.device:
                self._need(link.vxlan.device)
            self._add(link.name, link.kind, link.mac, link.mtu or 1500)
        have = self._need(link.name)
        merged = tuple(dict.fromkeys((*have.addresses, *link.addresses)))
        self.links[link.name] = replace(
            have, mac=link.mac or have.mac, mtu=link.mtu or have.mtu, up=True, addresses=merged
        )

    def ensure_veth(self, veth: Veth) -> None:
        if veth.name not in self.links:
            far = self.machine.open(veth.netns)
            if veth.peer in far.links:
                raise OSError(errno.EEXIST, f"{veth.peer} exists already")
            self._add(veth.name, "veth", "", veth.mtu or 1500)
            far._add(veth.peer, "veth", veth.mac, veth.mtu or 1500)
            self.pairs[veth.name], far.pairs[veth.peer] = (far, veth.peer), (self, veth.name)
        self.up(veth.name)
        if veth.master:
            self._need(veth.master)
            self.masters[veth.name] = veth.master

    def set_address(self, device: str, address: str, *, prefix_route: bool = True) -> None:
        have = self._need(device)
        merged = tuple(dict.fromkeys((*have.addresses, address)))
        self.links[device] = replace(have, addresses=merged)

    def up(self, device: str) -> None:
        self.links[device] = replace(self._need(device), up=True)

    def delete(self, device: str) -> None:
        if self.links.pop(device, None) is None:
            return
        self.masters.pop(device, None)
        self.static = {to: r for to, r in self.static.items() if r.device != device}
        if device in self.pairs:
            far, peer = self.pairs.pop(device)
            far.pairs.pop(peer, None)
            far.delete(peer)

    def add_routes(self, routes: Iterable[Route]) -> None:
        for route in routes:
            if route.device:
                self._need(route.device)
            self.static[route.to] = route

    def sync_routes(self, device: str, routes: Iterable[Route]) -> None:
        self._need(device)
        kept = {to: r for to, r in self.static.items() if r.device != device}
        self.static = kept | {route.to: route for route in routes}

    def routes(self) -> tuple[Route, ...]:
        return tuple(self.static.values())

    def sync_neighbours(self, device: str, entries: Iterable[Neighbour]) -> None:
        self._need(device)
        self.neighbours[device] = tuple(entries)

    def sync_forwards(self, device: str, entries: Iterable[Forward]) -> None:
        self._need(device)
        self.forwards[device] = tuple(entries)

    def close(self) -> None:
        """Nothing is held."""
