"""A range of pod addresses for each node, cut from the cluster's: `spec.podCIDR(s)`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key
from sampan.controllers.deps import Deps
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "node-controller"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def nodeipam(deps: Deps) -> Component:
    reconciler = NodeIpam(deps)
    # One worker: two would give the same range to two nodes.
    return Controller(reconciler, reconciler.queue, workers=1, wait_for=(reconciler.nodes,))


class Ranges:
    """The parts of one cluster range. A freed part is given out again as late as possible, since
    packets to its last owner may still be on their way.
    """

    def __init__(self, cluster: str, size: int) -> None:
        self.network: Network = ipaddress.ip_network(cluster, strict=False)
        self._bits = size - self.network.prefixlen
        if self._bits < 0 or size > self.network.max_prefixlen:
            raise ValueError(f"a node's part (/{size}) does not fit into {cluster}")
        self._size = size
        self._used: dict[int, str] = {}
        self._next = 0

    def occupy(self, part: str, owner: str) -> None:
        """A part that a node has already; what lies outside is none of ours."""
        found = ipaddress.ip_network(part, strict=False)
        if found.version == self.network.version and self._contains(found):
            for place in self._places(found):
                self._used[place] = owner

    def release(self, owner: str) -> None:
        self._used = {place: name for place, name in self._used.items() if name != owner}

    def take(self, owner: str) -> str | None:
        """The next free part, or None when all are taken."""
        count = 1 << self._bits
        for step in range(count):
            place = (self._next + step) % count
            if place not in self._used:
                self._used[place] = owner
                self._next = place + 1
                host_bits = self.network.max_prefixlen - self._size
                address = self.network.network_address + (place << host_bits)
                return f"{address}/{self._size}"
        return None

    def _contains(self, found: Network) -> bool:
        first = int(found.network_address)
        low = int(self.network.network_address)
        return low <= first <= int(self.network.broadcast_address)

    def _places(self, found: Network) -> Iterable[int]:
        host_bits = self.network.max_prefixlen - self._size
        low = int(self.network.network_address)
        first = (int(found.network_address) - low) >> host_bits
        last = (int(found.broadcast_address) - low) >> host_bits
        return range(first, min(last, (1 << self._bits) - 1) + 1)


class NodeIpam:
    """The reconciler; keys are node names."""

    name = "nodeipam"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("cidrAllocator", ACCOUNT)
        self.nodes = deps.informers.of(kinds.NODES)
        self._ranges = ranges(deps)
        self._given: dict[str, list[str]] = {}
        self.nodes.on_change(self._changed)

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(Key("", key))
        if node is None or node["spec"].get("podCIDRs") or not self._ranges:
            return None
        parts = self._given.get(key)
        if parts is None:
            taken = [one.take(key) for one in self._ranges]
            if None in taken:
                for one in self._ranges:
                    one.release(key)
                text = f"Node {key} status is now: CIDRNotAvailable"
                self._recorder.event(node, "Normal", "CIDRNotAvailable", text)
                return 30.0
            parts = self._given[key] = [part for part in taken if part is not None]
        body = {"spec": {"podCIDR": parts[0], "podCIDRs": parts}}
        try:
            await self._client.patch(kinds.NODES, key, body)
        except NotFound:
            return None
        return None

    def _changed(self, old: Json | None, new: Json | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            self._given.pop(name, None)
            for one in self._ranges:
                one.release(name)
            return
        for part in new["spec"].get("podCIDRs") or ():
            for one in self._ranges:
                one.occupy(part, name)
        if not new["spec"].get("podCIDRs"):
            self.queue.add(name)


def ranges(deps: Deps) -> list[Ranges]:
    """One for each family; none where allocation is off. Raises ValueError."""
    settings = deps.settings
    if not settings.allocate_node_cidrs:
        return []
    sizes = {4: settings.node_cidr_mask_ipv4, 6: settings.node_cidr_mask_ipv6}
    return [
        Ranges(cidr, sizes[ipaddress.ip_network(cidr, strict=False).version])
        for cidr in settings.cluster_cidrs
    ]
