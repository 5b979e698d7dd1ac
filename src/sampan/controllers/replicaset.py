"""ReplicaSets and ReplicationControllers: as many pods of a template as wished, no more, no fewer.

The two kinds differ in names, selector and one status field only; `_Variant` says how.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampan.api import kinds, selectors
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.api.selectors import Selector
from sampan.controllers.batch import slow_start
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.owners import (
    BY_CONTROLLER,
    Claims,
    controller_of,
    controller_reference,
    controller_uid,
)
from sampan.controllers.pods import (
    available_in,
    deletion_order,
    is_active,
    is_ready,
    is_terminal,
    is_terminating,
    pod_from,
)
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, namespace_is_leaving

BURST = 500
"""The most pods that one round makes or deletes."""


@dataclass(frozen=True, slots=True)
class _Variant:
    rid: ResourceId
    name: str
    component: str
    selector: Callable[[Json], Selector]
    counts_terminating: bool


REPLICASET = _Variant(
    kinds.REPLICASETS,
    "replicaset",
    "replicaset-controller",
    lambda owner: selectors.from_object(owner["spec"].get("selector")),
    counts_terminating=True,
)
REPLICATIONCONTROLLER = _Variant(
    kinds.REPLICATIONCONTROLLERS,
    "replicationcontroller",
    "replication-controller",
    lambda owner: selectors.from_labels(owner["spec"].get("selector")),
    counts_terminating=False,
)


def replicaset(deps: Deps) -> Component:
    return _controller(deps, REPLICASET)


def replicationcontroller(deps: Deps) -> Component:
    return _controller(deps, REPLICATIONCONTROLLER)


def _controller(deps: Deps, variant: _Variant) -> Component:
    reconciler = ReplicaSets(deps, variant)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(reconciler.owners, reconciler.pods),
    )


class ReplicaSets:
    """The reconciler of one of the two kinds."""

    def __init__(self, deps: Deps, variant: _Variant) -> None:
        self.name = variant.name
        self.queue: Queue[Key] = Queue(deps.clock)
        self._variant = variant
        self._clock = deps.clock
        self._client = deps.client_of(variant.component)
        self._recorder = deps.recorder(variant.component)
        self.owners = deps.informers.of(
            variant.rid, indexers={**BY_CONTROLLER, "namespace": _namespace}
        )
        self.pods = deps.informers.of(kinds.PODS, indexers=BY_CONTROLLER)
        self._claims = Claims(self._client, variant.rid, kinds.PODS)
        self._echo = Echo(self.pods, deps.clock)
        self.owners.on_change(self._owner_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        owner = self.owners.get(key)
        if owner is None:
            self._echo.forget(key)
            return None
        selector = self._variant.selector(owner)
        own = self.pods.by("controller", owner["metadata"]["uid"])
        orphans = self.pods.by("controller", f"orphan:{key.namespace}")
        living = [pod for pod in (*own, *orphans) if is_active(pod)]
        claimed = await self._claims.claim(owner, selector, living)
        active = [pod for pod in claimed if is_active(pod)]
        # Those that end keep their owner, also where it selects them no longer.
        ending = [
            pod
            for pod in own
            if not is_active(pod) and selector.matches(pod["metadata"].get("labels"))
        ]
        pods = [*active, *ending]
        problem = None
        if self._echo.settled(key) and not owner["metadata"].get("deletionTimestamp"):
            problem = await self._manage(owner, key, active)
        await self._tell_status(owner, pods, problem)
        if problem is not None:
            raise problem
        return self._next_available(owner, active)

    # Deciding and doing.

    async def _manage(self, owner: Json, key: Key, active: Sequence[Json]) -> Exception | None:
        missing = _wanted(owner) - len(active)
        if missing > 0:
            return await self._create(owner, key, min(missing, BURST))
        if missing < 0:
            on_node = self._crowd(owner)
            doomed = deletion_order(active, on_node, self._clock.now())[: min(-missing, BURST)]
            return await self._delete(owner, key, doomed)
        return None

    async def _create(self, owner: Json, key: Key, count: int) -> Exception | None:
        reference = controller_reference(self._variant.rid, owner)
        template = owner["spec"].get("template") or {}

        async def one() -> None:
            pod = pod_from(template, key.name, reference)
            try:
                made = await self._client.create(kinds.PODS, pod, namespace=key.namespace)
            except ApiError as error:
                if not namespace_is_leaving(error):
                    text = f"Error creating: {error}"
                    self._recorder.event(owner, "Warning", "FailedCreate", text)
                raise
            self._echo.wrote(key, made)
            text = f"Created pod: {made['metadata']['name']}"
            self._recorder.event(owner, "Normal", "SuccessfulCreate", text)

        _, problem = await slow_start(count, one)
        if isinstance(problem, ApiError) and namespace_is_leaving(problem):
            return None
        return problem

    async def _delete(self, owner: Json, key: Key, doomed: Sequence[Json]) -> Exception | None:
        async def one(pod: Json) -> None:
            meta = pod["metadata"]
            try:
                await self._client.delete(
                    kinds.PODS, meta["name"], meta["namespace"], uid=meta["uid"]
                )
            except ApiError as error:
                text = f"Error deleting: {error}"
                self._recorder.event(owner, "Warning", "FailedDelete", text)
                raise
            self._echo.deleted(key, pod)
            text = f"Deleted pod: {meta['name']}"
            self._recorder.event(owner, "Normal", "SuccessfulDelete", text)

        results = await asyncio.gather(*(one(pod) for pod in doomed), return_exceptions=True)
        return next((result for result in results if isinstance(result, Exception)), None)

    def _crowd(self, owner: Json) -> Counter[str]:
        """How many pods of this owner and its siblings each node has."""
        uid = controller_uid(owner)
        family = self.owners.by("controller", uid) if uid else [owner]
        return Counter(
            pod["spec"].get("nodeName", "")
            for member in family
            for pod in self.pods.by("controller", member["metadata"]["uid"])
            if is_active(pod)
        )

    async def _tell_status(
        self, owner: Json, pods: Sequence[Json], problem: Exception | None
    ) -> None:
        status = status_of(owner, pods, self._clock.now())
        if not self._variant.counts_terminating:
            status.pop("terminatingReplicas", None)
        missing = _wanted(owner) - sum(is_active(pod) for pod in pods)
        conditions = _conditions(owner, problem, missing, self._clock.now())
        if conditions:
            status["conditions"] = conditions
        if status == _shown(owner):
            return
        try:
            await self._client.update(
                self._variant.rid, {**owner, "status": status}, subresource="status"
            )
        except NotFound:
            return

    def _next_available(self, owner: Json, active: Sequence[Json]) -> float | None:
        """When the next ready pod will have been so for minReadySeconds."""
        need = owner["spec"].get("minReadySeconds") or 0
        now = self._clock.now()
        waits = [wait for pod in active if (wait := available_in(pod, need, now))]
        return min(waits) + 0.01 if waits else None

    # What wakes it.

    def _owner_changed(self, old: Json | None, new: Json | None) -> None:
        self.queue.add(key_of(new or old or {}))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            if pod is not None:
                reference = controller_of(pod)
                if reference is not None:
                    self._wake_owner(pod, reference)
        if new is not None and controller_of(new) is None and not is_terminating(new):
            before = old["metadata"].get("labels") if old else None
            if old is None or before != new["metadata"].get("labels") or controller_of(old):
                self._wake_matching(new)

    def _wake_owner(self, pod: Json, reference: Json) -> None:
        if reference["kind"] == self._variant.rid.kind:
            key = Key(pod["metadata"]["namespace"], reference["name"])
            owner = self.owners.get(key)
            if owner is not None and owner["metadata"]["uid"] == reference["uid"]:
                self.queue.add(key)

    def _wake_matching(self, pod: Json) -> None:
        labels = pod["metadata"].get("labels")
        if labels:
            for owner in self.owners.by("namespace", pod["metadata"]["namespace"]):
                if self._variant.selector(owner).matches(labels):
                    self.queue.add(key_of(owner))


def status_of(owner: Json, pods: Sequence[Json], now: float) -> Json:
    """The counts that the status shows, zeros left out as Kubernetes does."""
    need = owner["spec"].get("minReadySeconds") or 0
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    full = selectors.from_labels(labels)
    active = [pod for pod in pods if is_active(pod)]
    counts = {
        "fullyLabeledReplicas": sum(full.matches(pod["metadata"].get("labels")) for pod in active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(available_in(pod, need, now) == 0 for pod in active),
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    leaving = sum(is_terminating(pod) and not is_terminal(pod) for pod in pods)
    return {
        "replicas": len(active),
        **{name: count for name, count in counts.items() if count},
        "terminatingReplicas": leaving,
    }


def _shown(owner: Json) -> Json:
    """The status as it is, in the same shape."""
    status = owner.get("status") or {}
    return {name: value for name, value in status.items() if value not in (None, [])}


def _conditions(owner: Json, problem: Exception | None, missing: int, now: float) -> list[Json]:
    old: list[Json] = (owner.get("status") or {}).get("conditions") or []
    others = [item for item in old if item.get("type") != "ReplicaFailure"]
    if problem is None:
        return others
    if len(others) != len(old):
        return old
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": stamp(now),
        "reason": "FailedCreate" if missing > 0 else "FailedDelete",
        "message": str(problem),
    }
    return [*others, failure]


def _wanted(owner: Json) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _namespace(obj: Json) -> tuple[str, ...]:
    return (obj["metadata"]["namespace"],)
