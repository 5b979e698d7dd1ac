"""EndpointSlices of Services with a selector.

pod ready / gone / relabelled --> Service key --> slices_for (pure) --> create, update, delete
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from sampan.api import kinds
from sampan.api.errors import ApiError, Conflict, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import endpoint_pods as facts
from sampan.controllers import topology_hints
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.pods import is_ready
from sampan.controllers.selecting import Selecting
from sampan.controllers.slice_changes import changes_for
from sampan.controllers.slice_layout import Wish
from sampan.controllers.slice_wishes import (
    MANAGED_LABEL,
    MANAGER,
    SERVICE_LABEL,
    homeless,
    wishes,
    zone_of,
)
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, namespace_is_leaving

COMPONENT = "endpoint-slice-controller"
ACCOUNT = "endpointslice-controller"


def endpointslice(deps: Deps) -> Component:
    reconciler = EndpointSlices(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(
            reconciler.selecting.services, reconciler.selecting.pods, reconciler.slices,
            reconciler.nodes,
        ),
    )  # fmt: skip


def by_service(item: Json) -> Iterable[str]:
    """For an index of slices: namespace and name of the Service."""
    meta = item["metadata"]
    name = (meta.get("labels") or {}).get(SERVICE_LABEL)
    return (f"{meta['namespace']}/{name}",) if name else ()


def by_node(pod: Json) -> Iterable[str]:
    node = pod["spec"].get("nodeName")
    return (node,) if node else ()


class EndpointSlices:
    """The reconciler; keys are Services."""

    name = "endpointslice"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(COMPONENT, ACCOUNT)
        self.slices = deps.informers.of(kinds.ENDPOINTSLICES, indexers={"service": by_service})
        self.nodes = deps.informers.of(kinds.NODES)
        self.selecting = Selecting(deps, self.queue.add)
        self.selecting.pods.add_indexers({"node": by_node})
        self.selecting.services.add_indexers({"topology": _by_topology})
        self._echo = Echo(self.slices, deps.clock)
        self._times: dict[Key, facts.TriggerTimes] = {}
        self._hinted: dict[Key, dict[str, str]] = {}
        """Service -> family -> why there are no hints (empty: there are)."""
        self.slices.on_change(self._slice_changed)
        self.nodes.on_change(self._node_changed)

    async def reconcile(self, key: Key) -> float | None:
        service = self.selecting.services.get(key)
        if service is None:
            # Garbage collection takes the slices: they are owned by the Service.
            self._times.pop(key, None)
            self._hinted.pop(key, None)
            self._echo.forget(key)
            return None
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        if not self._echo.settled(key):
            return 1.0  # its own last writes are not in the cache yet; they will wake it
        pods = self.selecting.pods_of(service)
        times = self._times.setdefault(key, facts.TriggerTimes())
        since = times.next(service, {pod["metadata"]["name"]: pod for pod in pods})
        existing = [
            item for item in self.slices.by("service", str(key)) if managed_by(item) == MANAGER
        ]
        steps = self._steps(service, key, (existing, pods), since)
        if len(steps) == 1:
            # At once, not in a task of its own, which would wait for everyone else's turn.
            await self._guarded(service, key, steps[0])
        else:
            guarded = (self._guarded(service, key, step) for step in steps)
            results = await asyncio.gather(*guarded, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        self._look_for_homeless(service, key, pods)
        return None

    def _look_for_homeless(self, service: Json, key: Key, pods: list[Json]) -> None:
        """Raises NotFound, to look again, where pods are left out for want of their node."""
        told = homeless(service, pods, self.nodes.get)
        if not told:
            return
        text = told[0] if len(told) == 1 else f"[{', '.join(sorted(told))}]"
        if self.queue.failures(key) == 1:
            # Not at the first look: the node may be only a moment late.
            self._tell(service, key, text)
        raise NotFound(text)

    def _tell(self, service: Json, key: Key, problem: str) -> None:
        text = f"Error updating Endpoint Slices for Service {key}: {problem}"
        self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)

    async def _guarded(self, service: Json, key: Key, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ApiError as error:
            if not isinstance(error, Conflict) and not namespace_is_leaving(error):
                self._tell(service, key, str(error))
            raise

    def _steps(
        self, service: Json, key: Key, found: tuple[list[Json], list[Json]], since: float | None
    ) -> list[Callable[[], Awaitable[None]]]:
        """The calls that make the slices right."""
        existing, pods = found
        families = facts.families(service)
        strays = [item for item in existing if item["addressType"] not in families]
        steps = [self._deleting(key, item) for item in strays]
        for family in families:
            mine = [item for item in existing if item["addressType"] == family]
            wished = wishes(service, pods, family, self.nodes.get)
            self._hint(service, key, family, wished)
            changes = changes_for(service, family, mine, wished, since)
            steps += [self._deleting(key, item) for item in changes.delete]
            steps += [self._creating(key, item) for item in changes.create]
            steps += [self._updating(key, item) for item in changes.update]
        return steps

    def _hint(self, service: Json, key: Key, family: str, wished: dict[str, Wish]) -> None:
        """Promise the ready endpoints to zones; tell when that begins or ends to be possible."""
        known = self._hinted.setdefault(key, {})
        populated = "" in known.values()
        if not topology_hints.is_auto(service):
            if populated:
                self._tell_hints(service, family, "Topology Aware Hints has been disabled")
            known.clear()
            return
        ready = [
            endpoint
            for wish in wished.values()
            for endpoint in wish.endpoints.values()
            if endpoint["conditions"]["ready"]
        ]
        zones, why = topology_hints.assign(ready, topology_hints.ratios(self.nodes.items()))
        for endpoint, zone in zip(ready, zones, strict=False):
            endpoint["hints"] = {"forZones": [{"name": zone}]}
        before = known.get(family)
        known[family] = why
        if why and why != before:
            self._tell_hints(service, family, why)
        elif not why and not populated:
            text = f"Topology Aware Hints has been enabled, addressType: {family}"
            self._recorder.event(service, "Normal", "TopologyAwareHintsEnabled", text)

    def _tell_hints(self, service: Json, family: str, why: str) -> None:
        text = f"{why}, addressType: {family}"
        self._recorder.event(service, "Warning", "TopologyAwareHintsDisabled", text)

    def _creating(self, key: Key, item: Json) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            self._echo.wrote(key, await self._client.create(kinds.ENDPOINTSLICES, item))

        return step

    def _updating(self, key: Key, item: Json) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            try:
                self._echo.wrote(key, await self._client.update(kinds.ENDPOINTSLICES, item))
            except NotFound:
                self.queue.add(key)  # deleted meanwhile: a new one will be made

        return step

    def _deleting(self, key: Key, item: Json) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            meta = item["metadata"]
            await self._client.delete(
                kinds.ENDPOINTSLICES, meta["name"], meta["namespace"], uid=meta["uid"]
            )
            self._echo.deleted(key, item)

        return step

    def _slice_changed(self, old: Json | None, new: Json | None) -> None:
        for item in (old, new):
            if item is not None and managed_by(item) == MANAGER:
                for _ in by_service(item):
                    labels = item["metadata"]["labels"]
                    self.queue.add(Key(item["metadata"]["namespace"], labels[SERVICE_LABEL]))

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        """Pods are endpoints of a node that is known. Where its zone changes, endpoints show that
        when they are written next, as upstream's do.
        """
        if old is None or new is None or _weight(old) != _weight(new):
            for service in self.selecting.services.by("topology", "auto"):
                self.queue.add(key_of(service))
        if old is not None and new is not None:
            return
        name = (new or old or {})["metadata"]["name"]
        for pod in self.selecting.pods.by("node", name):
            for service in self.selecting.services_of(pod):
                meta = service["metadata"]
                self.queue.add(Key(meta["namespace"], meta["name"]))


def managed_by(item: Json) -> str:
    found: str = (item["metadata"].get("labels") or {}).get(MANAGED_LABEL, "")
    return found


def _by_topology(service: Json) -> Iterable[str]:
    return ("auto",) if topology_hints.is_auto(service) else ()


def _weight(node: Json) -> object:
    """What a node counts for in the zones' parts."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return zone_of(node), is_ready(node), allocatable.get("cpu")
