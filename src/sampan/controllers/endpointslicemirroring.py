"""EndpointSlices for hand-made Endpoints: Services without a selector, whose Endpoints a person or
another program writes, are seen by proxies only through slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sampan.api import kinds
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import port_order
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.endpoint_pods import TRIGGER_TIME, family_of
from sampan.controllers.endpointslice import by_service, managed_by
from sampan.controllers.owners import controller_reference
from sampan.controllers.slice_layout import Wish, identity, layout, ports_key
from sampan.controllers.slice_wishes import MANAGED_LABEL, SERVICE_LABEL
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "endpointslicemirroring-controller"
COMPONENT = "endpoint-slice-mirroring-controller"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
RESERVED = (SERVICE_LABEL, MANAGED_LABEL)
MOST = 1000
NOT_COPIED = (TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")


def endpointslicemirroring(deps: Deps) -> Component:
    reconciler = Mirroring(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(reconciler.endpoints, reconciler.services, reconciler.slices),
    )


class Mirroring:
    """The reconciler; keys are Endpoints, and the Service of the same name."""

    name = "endpointslicemirroring"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(COMPONENT, ACCOUNT)
        self.endpoints = deps.informers.of(kinds.ENDPOINTS)
        self.services = deps.informers.of(kinds.SERVICES)
        self.slices = deps.informers.of(kinds.ENDPOINTSLICES, indexers={"service": by_service})
        self._echo = Echo(self.slices, deps.clock)
        self.endpoints.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.services.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.slices.on_change(self._slice_changed)

    async def reconcile(self, key: Key) -> float | None:
        if not self._echo.settled(key):
            return 1.0  # its own last writes are not in the cache yet; they will wake it
        endpoints, service = self.endpoints.get(key), self.services.get(key)
        existing = [
            item for item in self.slices.by("service", str(key)) if managed_by(item) == MANAGER
        ]
        if endpoints is None or service is None or not _to_mirror(endpoints, service):
            await asyncio.gather(*(self._delete(key, item) for item in existing))
            return None
        await self._mirror(key, endpoints, existing)
        return None

    async def _mirror(self, key: Key, endpoints: Json, existing: list[Json]) -> None:
        labels, notes = _labels(endpoints), _annotations(endpoints)
        skipped = skipped_by(endpoints)
        if skipped:
            text = (
                f"A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset."
                f" {skipped} addresses were skipped"
            )
            self._recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        for family, wishes in wishes_for(endpoints).items():
            mine = [item for item in existing if item["addressType"] == family]
            plan = layout(mine, wishes, MOST)
            spare = list(plan.delete)
            for ports, members in plan.create:
                fresh = _new(endpoints, family, list(ports), members)
                fresh["metadata"] |= {"labels": labels, "annotations": notes}
                if spare:
                    # A slice that would go is written anew: one event for watchers, not two.
                    await self._reuse(key, spare.pop(), fresh)
                else:
                    made = await self._client.create(kinds.ENDPOINTSLICES, fresh)
                    self._echo.wrote(key, made)
            for item in spare:
                await self._delete(key, item)
            for item, members in plan.update:
                await self._update(key, {**item, "endpoints": members}, (labels, notes))
            for item in plan.keep:
                if not _is_labelled(item, endpoints, notes):
                    await self._update(key, item, (labels, notes))

    async def _reuse(self, key: Key, spare: Json, fresh: Json) -> None:
        meta = dict(fresh["metadata"])
        if ports_key(spare.get("ports")) == ports_key(fresh["ports"]):
            del meta["generateName"]  # the same slice, written anew: it has its name
        meta |= {name: spare["metadata"][name] for name in ("name", "uid", "resourceVersion")}
        made = await self._client.update(kinds.ENDPOINTSLICES, {**fresh, "metadata": meta})
        self._echo.wrote(key, made)

    async def _update(
        self, key: Key, item: Json, words: tuple[Mapping[str, str], Mapping[str, str]]
    ) -> None:
        labels, notes = words
        meta = {**item["metadata"], "labels": dict(labels), "annotations": dict(notes)}
        meta.pop("generateName", None)  # as upstream, which builds the object from the name
        made = await self._client.update(kinds.ENDPOINTSLICES, {**item, "metadata": meta})
        self._echo.wrote(key, made)

    async def _delete(self, key: Key, item: Json) -> None:
        meta = item["metadata"]
        await self._client.delete(
            kinds.ENDPOINTSLICES, meta["name"], meta["namespace"], uid=meta["uid"]
        )
        self._echo.deleted(key, item)

    def _slice_changed(self, old: Json | None, new: Json | None) -> None:
        item = new or old or {}
        if managed_by(item) == MANAGER:
            for _ in by_service(item):
                meta = item["metadata"]
                self.queue.add(Key(meta["namespace"], meta["labels"][SERVICE_LABEL]))


def wishes_for(endpoints: Json) -> dict[str, dict[str, Wish]]:
    """By family and ports: what the subsets say. Both families are there, so that a family that
    lost its last address loses its slices too.
    """
    found: dict[str, dict[str, Wish]] = {"IPv4": {}, "IPv6": {}}
    for subset in endpoints.get("subsets") or ():
        ports = port_order.of_slice(_port(port) for port in subset.get("ports") or ())
        key = ports_key(ports)
        for address, ready in _addresses(subset)[:MOST]:
            family = found[family_of(address["ip"])]
            wish = family.setdefault(key, Wish(tuple(ports), {}))
            endpoint = _endpoint(address, ready=ready)
            wish.endpoints[identity(endpoint)] = endpoint
    return found


def skipped_by(endpoints: Json) -> int:
    """How many addresses are beyond what is mirrored of a subset."""
    return sum(max(0, len(_addresses(subset)) - MOST) for subset in endpoints.get("subsets") or ())


def _addresses(subset: Json) -> list[tuple[Json, bool]]:
    """The addresses of a subset, those that are ready first."""
    ready = [(address, True) for address in subset.get("addresses") or ()]
    return [*ready, *((address, False) for address in subset.get("notReadyAddresses") or ())]


def _endpoint(address: Json, *, ready: bool) -> Json:
    endpoint: Json = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def _port(port: Json) -> Json:
    made = {"name": port.get("name") or "", "port": port["port"]}
    made["protocol"] = port.get("protocol") or "TCP"
    if port.get("appProtocol"):
        made["appProtocol"] = port["appProtocol"]
    return made


def _to_mirror(endpoints: Json, service: Json) -> bool:
    meta = endpoints["metadata"]
    skipped = (meta.get("labels") or {}).get(SKIP_LABEL) == "true"
    elected = LEADER in (meta.get("annotations") or {})
    return not skipped and not elected and not service["spec"].get("selector")


def _labels(endpoints: Json) -> dict[str, str]:
    labels = dict(endpoints["metadata"].get("labels") or {})
    labels[SERVICE_LABEL] = endpoints["metadata"]["name"]
    labels[MANAGED_LABEL] = MANAGER
    return labels


def _annotations(endpoints: Json) -> dict[str, str]:
    notes = endpoints["metadata"].get("annotations") or {}
    return {name: value for name, value in notes.items() if name not in NOT_COPIED}


def _is_labelled(item: Json, endpoints: Json, notes: Mapping[str, str]) -> bool:
    """As upstream, the reserved labels of Endpoints count: a slice of such is written once more."""
    meta = item["metadata"]
    shown = {k: v for k, v in (meta.get("labels") or {}).items() if k not in RESERVED}
    same = shown == (endpoints["metadata"].get("labels") or {})
    return same and (meta.get("annotations") or {}) == notes


def _new(endpoints: Json, family: str, ports: list[Json], members: list[Json]) -> Json:
    meta = endpoints["metadata"]
    return {
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "ownerReferences": [controller_reference(kinds.ENDPOINTS, endpoints)],
        },
        "addressType": family,
        "endpoints": members,
        "ports": ports,
    }
