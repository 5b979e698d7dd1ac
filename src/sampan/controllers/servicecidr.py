"""ServiceCIDRs: ready when they are protected, gone when no address needs them any more."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key
from sampan.controllers import conditions
from sampan.controllers.deps import Deps
from sampan.controllers.pods import condition
from sampan.controllers.stamps import seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "service-cidrs-controller"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE_S = 10.0
"""Allocators that have not heard of the deletion may still hand out an address."""
IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
    "ServiceCIDR"
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def servicecidr(deps: Deps) -> Component:
    reconciler = ServiceCIDRs(deps)
    waits = (reconciler.cidrs, reconciler.addresses)
    return Controller(reconciler, reconciler.queue, workers=1, wait_for=waits)


class ServiceCIDRs:
    """The reconciler; keys are names of ServiceCIDRs."""

    name = "service-cidr-controller"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self.cidrs = deps.informers.of(kinds.SERVICECIDRS)
        self.addresses = deps.informers.of(kinds.IPADDRESSES)
        self.cidrs.on_change(lambda old, new: self._wake())
        self.addresses.on_change(lambda old, new: self._wake() if new is None else None)

    async def reconcile(self, key: str) -> float | None:
        found = self.cidrs.get(Key("", key))
        if found is None:
            return None
        since = seconds(found["metadata"].get("deletionTimestamp"))
        if not since:
            await self._protect(found)
            return None
        if is_needed(found, self.cidrs.items(), self.addresses.items()):
            await self._tell(found, "False", "Terminating", IN_USE)
            return None
        left = since + GRACE_S - self._clock.now()
        if left > 0:
            return left
        await self._finalizers(found, [f for f in _finalizers(found) if f != FINALIZER])
        return None

    async def _protect(self, found: Json) -> None:
        if FINALIZER not in _finalizers(found):
            await self._finalizers(found, [*_finalizers(found), FINALIZER])
        ready = condition(found, "Ready")
        if ready is None or ready.get("status") != "True":
            await self._tell(found, "True", "", "Kubernetes Service CIDR is ready")

    async def _finalizers(self, found: Json, wanted: list[str]) -> None:
        patch = {"metadata": {"uid": found["metadata"]["uid"], "finalizers": wanted or None}}
        try:
            await self._client.patch(kinds.SERVICECIDRS, found["metadata"]["name"], patch)
        except NotFound:
            return

    async def _tell(self, found: Json, status: str, reason: str, text: str) -> None:
        now = stamp(self._clock.now())
        fresh = {"type": "Ready", "status": status, "reason": reason, "message": text,
                 "lastTransitionTime": now}  # fmt: skip
        known = condition(found, "Ready") or {}
        if all(known.get(name) == fresh[name] for name in ("status", "reason", "message")):
            return
        told = (found.get("status") or {}).get("conditions") or []
        patch = {"status": {"conditions": conditions.put(told, fresh)}}
        name = found["metadata"]["name"]
        try:
            await self._client.patch(kinds.SERVICECIDRS, name, patch, subresource="status")
        except NotFound:
            return

    def _wake(self) -> None:
        """Each may be needed less when another came or an address went; there are few."""
        for found in self.cidrs.items():
            self.queue.add(found["metadata"]["name"])


def is_needed(found: Json, cidrs: Iterable[Json], addresses: Iterable[Json]) -> bool:
    """Whether an address is in its ranges and in no range of another that stays."""
    mine = _networks(found)
    others = [
        network
        for other in cidrs
        if other["metadata"]["name"] != found["metadata"]["name"]
        and not other["metadata"].get("deletionTimestamp")
        for network in _networks(other)
    ]
    return any(
        _is_in(ip, mine) and not _is_in(ip, others)
        for ip in (ipaddress.ip_address(item["metadata"]["name"]) for item in addresses)
    )


def _is_in(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, ranges: Sequence[Network]) -> bool:
    return any(ip in network for network in ranges)


def _networks(cidr: Json) -> list[Network]:
    return [ipaddress.ip_network(text) for text in cidr["spec"].get("cidrs") or ()]


def _finalizers(obj: Json) -> list[str]:
    return list(obj["metadata"].get("finalizers") or ())
