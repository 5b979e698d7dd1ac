"""The scheduler: takes pods without a node one by one, decides, binds, and explains itself.

    informers ──► state (sums per node)          queue ──► decide ──► assume ──► bind (many at once)
              └─► wake what the change may help    ▲          └─► explain, preempt, park
                                                   └──────────────────────┘

A decision assumes its outcome at once, so that the next one sees the room taken; binding happens
beside it, and what could not be bound is taken back and tried again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError, Conflict, NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.loop.events import Recorder
from sampan.loop.informers import Informers
from sampan.scheduler import hints, preemption, status
from sampan.scheduler.base import Filter
from sampan.scheduler.decision import Placed, Profile, Unplaced, decide
from sampan.scheduler.devices import DeviceNews, reserve
from sampan.scheduler.freshness import Freshness
from sampan.scheduler.kin import Kin
from sampan.scheduler.metrics import Metrics
from sampan.scheduler.pod import PodView
from sampan.scheduler.queue import Queue
from sampan.scheduler.state import ClusterState
from sampan.scheduler.storage import Storage, VolumePlan, claims_of, plan_for
from sampan.scheduler.telling import Teller
from sampan.scheduler.volume_binder import NotBound, VolumeBinder
from sampan.std import log
from sampan.std.clock import Clock

BINDINGS_AT_ONCE = 32
_LOG = log.get("scheduler")

BY_PODS = ("NodePorts", "NodeResourcesFit", "PodTopologySpread", "InterPodAffinity",
           "VolumeRestrictions", "NodeVolumeLimits")  # fmt: skip
"""Filters that look at other pods: a pod that goes may help."""
BY_VOLUMES = ("VolumeBinding", "VolumeRestrictions", "VolumeZone", "NodeVolumeLimits")
"""Filters for which a change of claims and volumes may help."""
BY_NEWCOMERS = ("PodTopologySpread", "InterPodAffinity")
"""Filters for which a pod that comes may help."""


@dataclass(frozen=True)
class Settings:
    """How it decides, and where it counts."""

    profiles: tuple[Profile, ...] = (Profile(),)
    chance: random.Random = field(default_factory=random.Random)
    metrics: Metrics = field(default_factory=Metrics)


class Scheduler:
    """A component. It is the only writer of its state."""

    name = "scheduler"

    def __init__(
        self,
        client: Client,
        informers: Informers,
        recorders: Mapping[str, Recorder],
        clock: Clock,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        self._client = client
        self._clock = clock
        self._profiles = {profile.name: profile for profile in settings.profiles}
        self._filters = {name for profile in settings.profiles for name in profile.filters}
        self._chance = settings.chance
        self.metrics = settings.metrics
        self.state = ClusterState()
        self.queue = Queue(clock)
        self.metrics.watch(self.queue)
        self._assumed: dict[Key, str] = {}
        self._slots = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self._informers = informers
        self._budgets = informers.of(kinds.PODDISRUPTIONBUDGETS)
        self.state.selector_for = Kin(informers).selector_for
        self._volumes = VolumeBinder(client, self._storage(informers), clock)
        self._devices = DeviceNews(
            informers,
            self.state.devices,
            self.queue.put,
            lambda: self.queue.wake(("DynamicResources",)),
        )
        self._freshness = Freshness(client, informers)
        self._teller = Teller(client, recorders, clock, self.metrics)
        informers.of(kinds.NAMESPACES).on_change(self._on_namespace)
        informers.of(kinds.NODES).on_change(self._on_node)
        informers.of(kinds.PODS).on_change(self._on_pod)

    async def run(self, started: Callable[[], None]) -> None:
        await self._informers.synced()
        started()
        async with asyncio.TaskGroup() as group:
            while True:
                pod = await self.queue.take()
                await self._slots.acquire()
                self._try(pod, group)
                await asyncio.sleep(0)  # let news in between two decisions

    def _storage(self, informers: Informers) -> Storage:
        """Looks into the caches of claims and volumes, and is told of their changes."""
        claims = informers.of(kinds.PERSISTENTVOLUMECLAIMS)
        volumes = informers.of(kinds.PERSISTENTVOLUMES)
        classes = informers.of(kinds.STORAGECLASSES)
        csi_nodes = informers.of(kinds.CSINODES)
        storage = self.state.storage
        storage.claim = claims.get
        storage.volume = lambda name: volumes.get(Key("", name))
        storage.storage_class = lambda name: classes.get(Key("", name))
        storage.csi_node = lambda name: csi_nodes.get(Key("", name))
        storage.volumes = volumes.items
        for cache in (claims, volumes, classes, csi_nodes):
            cache.on_change(lambda old, new: self.queue.wake(BY_VOLUMES))
        return storage

    # News.

    def _on_namespace(self, old: Json | None, new: Json | None) -> None:
        meta = (new or old or {})["metadata"]
        self.state.set_namespace(meta["name"], meta.get("labels") or {} if new else None)
        if new and (old is None or old["metadata"].get("labels") != meta.get("labels")):
            self.queue.wake(("InterPodAffinity",))

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self.state.remove_node(old["metadata"]["name"])
                self._node_changed(old, new)  # domains may be fewer
            return
        self.state.set_node(new)
        if old is None or _differs(old, new):
            self._node_changed(old, new)

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        change = hints.NodeChange.of(old, new)
        self.queue.wake(self._filters, change.concerns(self.state, self._filter_of))

    def _filter_of(self, name: str, pod: PodView) -> Filter:
        return self._profiles[pod.scheduler].filters[name]

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self._gone(key_of(old))
            return
        pod = PodView(new)
        if pod.finished:
            self._gone(pod.key)
        elif pod.node:
            self._settled(pod)
        elif pod.key not in self._assumed:
            self._waiting(pod)

    def _gone(self, key: Key) -> None:
        placed = self.state.placed.get(key)
        self.state.displace(key)
        self.state.forget_nomination(key)
        self._assumed.pop(key, None)
        self._devices.drop(key)
        self.queue.drop(key)
        if placed is not None:
            self.queue.wake(BY_PODS, hints.after_going(placed, self.state))

    def _settled(self, pod: PodView) -> None:
        known = self.state.placed.get(pod.key)
        mine = self._assumed.pop(pod.key, None) is not None
        self.state.place(pod, pod.node)
        self.state.forget_nomination(pod.key)
        self.queue.drop(pod.key)
        if known is None or mine:
            self.queue.wake(BY_NEWCOMERS, hints.after_coming(pod, self.state))
        elif known.requests != pod.requests:
            self.queue.wake(("NodeResourcesFit",), hints.after_shrinking(known, pod))
        elif known.labels != pod.labels or known.terminating != pod.terminating:
            self.queue.wake(BY_NEWCOMERS)

    def _waiting(self, pod: PodView) -> None:
        if pod.scheduler not in self._profiles or pod.terminating:
            self._devices.drop(pod.key)
            self.queue.drop(pod.key)
            return
        self.state.nominate(pod, pod.nominated)
        if not pod.gated and not self._devices.holds(pod):
            self.queue.put(pod)

    # Deciding.

    def _try(self, pod: PodView, group: asyncio.TaskGroup) -> None:
        """Decide on one pod; what follows from it happens beside. Takes over the slot."""
        begun = self._clock.monotonic()
        profile = self._profiles[pod.scheduler]
        try:
            found = decide(pod, self.state, profile, self._chance)
        except Exception as error:  # noqa: BLE001 - one odd pod must not stop the others
            _LOG.error("no decision", pod=pod.key, exc=error)
            self.metrics.attempt(profile.name, "error", self._clock.monotonic() - begun)
            self.queue.failed(pod.key, ())
            self._slots.release()
            return
        doubts = self._doubts(pod, found)
        if doubts:
            group.create_task(self._freed(self._again(pod, doubts)))
            return
        result = "scheduled" if isinstance(found, Placed) else "unschedulable"
        self.metrics.attempt(profile.name, result, self._clock.monotonic() - begun)
        if isinstance(found, Placed):
            self._place(pod, found.node, group)
        else:
            self._refuse(pod, found, group)

    def _doubts(self, pod: PodView, found: Placed | Unplaced) -> frozenset[ResourceId]:
        """Which caches must be looked after before this is believed: none after the first time."""
        if isinstance(found, Placed) or self.queue.is_settled(pod.key):
            return frozenset()
        return self._freshness.doubts(pod.obj, found.plugins)

    async def _again(self, pod: PodView, doubts: frozenset[ResourceId]) -> None:
        await self._freshness.settle(pod.obj, doubts)
        self.queue.again(pod.key)

    def _place(self, pod: PodView, node: str, group: asyncio.TaskGroup) -> None:
        plan = self._volume_plan(pod, node)
        self._assumed[pod.key] = node
        self.state.place(pod, node)
        self._volumes.reserve(plan)
        group.create_task(self._freed(self._bind(pod, node, plan)))

    def _refuse(self, pod: PodView, found: Unplaced, group: asyncio.TaskGroup) -> None:
        budgets, profile = list(self._budgets.items()), self._profiles[pod.scheduler]
        room = preemption.preempt(pod, self.state, profile, found, budgets)
        if isinstance(room, preemption.Plan):
            self.state.nominate(pod, room.node)
        self.queue.failed(pod.key, found.plugins)
        group.create_task(self._freed(self._teller.refused(pod, found, room)))

    def _volume_plan(self, pod: PodView, node: str) -> VolumePlan:
        if not pod.claims:
            return VolumePlan()
        claims = claims_of(pod, self.state.storage)
        return plan_for(claims, self.state.nodes[node], self.state.storage) or VolumePlan()

    async def _freed(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._slots.release()

    async def _bind(self, pod: PodView, node: str, plan: VolumePlan) -> None:
        try:
            await reserve(self._client, self.state.devices.claims_of(pod)[0], pod)
            if plan:
                await self._volumes.bind(plan, node, self._profiles[pod.scheduler].bind_timeout_s)
            await self._client.create(
                kinds.PODS,
                status.binding(pod, node),
                namespace=pod.namespace,
                name=pod.key.name,
                subresource="binding",
            )
        except (ApiError, Unreachable, NotBound) as error:
            self._take_back(pod, error)
            await self._teller.not_bound(pod, error)
            return
        finally:
            self._volumes.release(plan)
        self._teller.bound(pod, node)

    def _take_back(self, pod: PodView, error: Exception) -> None:
        """The binding failed: the room is free again, and the pod waits, if it is still there."""
        if self._assumed.pop(pod.key, None) is not None:
            self.state.displace(pod.key)
        if isinstance(error, (NotFound, Conflict)):
            _LOG.debug("not bound", pod=pod.key, error=error)
        else:
            _LOG.warning("not bound", pod=pod.key, error=error)
        self.queue.failed(pod.key, ())


def _differs(old: Json, new: Json) -> bool:
    """Whether a Node changed in what decisions look at; heartbeats do not count."""
    if old.get("spec") != new.get("spec"):
        return True
    if old["metadata"].get("labels") != new["metadata"].get("labels"):
        return True
    before, after = old.get("status", {}), new.get("status", {})
    return any(before.get(field) != after.get(field) for field in ("allocatable", "capacity"))
