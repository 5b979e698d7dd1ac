"""The pod network of one node: keeps bridge, VXLAN device and routes true, and wires pods.

One component per node, in the node's network namespace. It knows the other nodes through the
Kubernetes API alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sampan.api.kinds import NODES
from sampan.api.meta import Json, Key
from sampan.client.client import Client, PatchKind
from sampan.linux.base.links import Link, Links, Vxlan
from sampan.loop.informer import Informer
from sampan.podnet import attach, plan
from sampan.podnet.ipam import AddressPool
from sampan.std import log


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this node stands."""

    node: str
    address: str
    device: str
    """The underlay link that holds `address`."""
    state: Path
    """For address files; gone after a reboot, as the pods are."""
    mtu: int = 1450
    """Of pods: the underlay's less the encapsulation."""


class PodNet:
    """A `Component`, and the kubelet's `PodNetwork`."""

    name = "podnet"

    def __init__(
        self,
        settings: Settings,
        client: Client,
        nodes: Informer,
        links: Links,
        open_links: attach.OpenLinks,
    ) -> None:
        self.settings, self.client, self.nodes = settings, client, nodes
        self.links, self.open_links = links, open_links
        self.pools: dict[str, AddressPool] = {}
        self.ready = asyncio.Event()
        self.dirty = asyncio.Event()
        self.log = log.get("podnet")

    async def run(self, started: Callable[[], None]) -> None:
        self.nodes.on_change(self._changed)
        await self.nodes.synced.wait()
        self.dirty.set()
        while True:
            await self.dirty.wait()
            self.dirty.clear()
            try:
                await self._sync()
            except OSError as error:
                self.log.error("sync failed, trying again in a second", error=str(error))
                await asyncio.sleep(1)
                self.dirty.set()
                continue
            if self.ready.is_set():
                started()

    def _changed(self, old: Json | None, new: Json | None) -> None:
        """Only what others must know of a node matters; heartbeats do not wake us."""
        before = plan.node_net(old) if old else None
        after = plan.node_net(new) if new else None
        if before != after or not self.ready.is_set():
            self.dirty.set()

    async def _sync(self) -> None:
        own = self.nodes.get(Key("", self.settings.node))
        if own is None:
            return
        await self._publish(own)
        spec = own.get("spec", {})
        cidrs = tuple(spec.get("podCIDRs") or ())
        if not cidrs:
            return
        if not self.pools:
            self._own_devices(cidrs)
        known = [net for net in map(plan.node_net, self.nodes.items()) if net is not None]
        fabric = plan.fabric(self.settings.node, known)
        self.links.sync_forwards(plan.DEVICE, fabric.forwards)
        self.links.sync_neighbours(plan.DEVICE, fabric.neighbours)
        self.links.sync_routes(plan.DEVICE, fabric.routes)
        self.ready.set()

    async def _publish(self, own: Json) -> None:
        wanted = plan.annotations_for(self.settings.node, self.settings.address)
        have: Mapping[str, str] = own["metadata"].get("annotations") or {}
        if any(have.get(key) != value for key, value in wanted.items()):
            body = {"metadata": {"annotations": wanted}}
            await self.client.patch(NODES, self.settings.node, body, kind=PatchKind.MERGE)

    def _own_devices(self, cidrs: tuple[str, ...]) -> None:
        settings = self.settings
        bridge, device = plan.own_addresses(cidrs)
        mac = plan.vtep_mac(settings.node, settings.address)
        vxlan = Vxlan(plan.VNI, settings.address, plan.PORT, settings.device)
        self.links.ensure(
            Link(plan.DEVICE, "vxlan", mac=mac, mtu=settings.mtu, addresses=device, vxlan=vxlan)
        )
        self.links.ensure(plan.bridge_link(bridge, settings.mtu))
        self.pools = {cidr: AddressPool(settings.state, cidr) for cidr in cidrs}

    async def attach(self, sandbox: str, netns: str, pod: Key) -> tuple[str, ...]:
        """Wire a pod; waits until the node has its range. Returns its addresses, IPv4 first."""
        await self.ready.wait()
        ips = {cidr: pool.allocate(sandbox) for cidr, pool in self.pools.items()}
        attach.wire(self.links, self.open_links, sandbox, netns, ips, mtu=self.settings.mtu)
        return tuple(ips.values())

    async def detach(self, sandbox: str, netns: str) -> None:
        """Unwire a pod and give its addresses back; harmless when nothing is there."""
        self.links.delete(attach.veth_name(sandbox))
        for pool in self.pools.values():
            pool.release(sandbox)
