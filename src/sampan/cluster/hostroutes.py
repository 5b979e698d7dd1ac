"""Keeps the host's routes to the pods true: each node's range leads straight to that node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api.meta import Json
from sampan.cluster import network
from sampan.cluster.config import ClusterConfig
from sampan.loop.informer import Informer
from sampan.podnet.plan import internal_ip
from sampan.std import log


class HostRoutes:
    """A component of the control plane, which lives in the host's namespace."""

    name = "hostroutes"

    def __init__(self, config: ClusterConfig, nodes: Informer) -> None:
        self.config, self.nodes = config, nodes
        self.dirty = asyncio.Event()
        self.log = log.get("hostroutes")

    async def run(self, started: Callable[[], None]) -> None:
        self.nodes.on_change(self._changed)
        started()
        last: dict[str, str] = {}
        while True:
            await self.dirty.wait()
            self.dirty.clear()
            routes = pod_ranges(list(self.nodes.items()))
            if routes != last:
                try:
                    network.host_pod_routes(self.config, routes)
                    last = routes
                except OSError as error:
                    self.log.error("cannot set the host's routes", error=str(error))

    def _changed(self, old: Json | None, new: Json | None) -> None:
        before, after = (pod_ranges([node] if node else []) for node in (old, new))
        if before != after:
            self.dirty.set()


def pod_ranges(nodes: list[Json]) -> dict[str, str]:
    """IPv4 pod range -> node address, of nodes that have both."""
    return {
        cidr: address
        for node in nodes
        if (address := internal_ip(node))
        for cidr in node.get("spec", {}).get("podCIDRs") or ()
        if ":" not in cidr
    }
