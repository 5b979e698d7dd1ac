"""DaemonSets: one pod on each node that takes it (daemonset_plan decides, here it is done)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from sampan.api import kinds, selectors
from sampan.api.errors import AlreadyExists, ApiError, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import daemonset_plan as plans
from sampan.controllers.batch import slow_start
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.owners import BY_CONTROLLER, Claims, controller_of, controller_reference
from sampan.controllers.podhash import template_hash
from sampan.controllers.pods import available_in, is_terminating, phase, pod_from
from sampan.controllers.revisions import Revisions, Wanted, patch_of, surplus
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.std.backoff import Backoff

ACCOUNT = "daemon-set-controller"
BURST = 250
FAILED = Backoff(first_s=1, factor=2, cap_s=900)
REMEMBERED = 10_000
Place = tuple[str, int, str]
"""A DaemonSet by uid and generation, and a node."""


def daemonset(deps: Deps) -> Component:
    reconciler = DaemonSets(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(
            reconciler.daemonsets, reconciler.pods, reconciler.nodes, reconciler.revisions,
        ),
    )  # fmt: skip


class DaemonSets:
    """The reconciler."""

    name = "daemonset"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("daemonset-controller", ACCOUNT)
        self.daemonsets = deps.informers.of(kinds.DAEMONSETS, indexers={"namespace": _namespace})
        self.pods = deps.informers.of(kinds.PODS, indexers=BY_CONTROLLER)
        self.nodes = deps.informers.of(kinds.NODES)
        self.revisions = deps.informers.of(kinds.CONTROLLERREVISIONS, indexers=BY_CONTROLLER)
        self._claims = Claims(self._client, kinds.DAEMONSETS, kinds.PODS)
        self._history = Revisions(self._client, kinds.DAEMONSETS)
        self._echo = Echo(self.pods, deps.clock)
        self._revision_echo = Echo(self.revisions, deps.clock)
        self._failures = Failures()
        self.daemonsets.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.pods.on_change(self._pod_changed)
        self.nodes.on_change(self._node_changed)

    async def reconcile(self, key: Key) -> float | None:
        found = self.daemonsets.get(key)
        if found is None:
            self._echo.forget(key)
            self._revision_echo.forget(key)
            return None
        if found["metadata"].get("deletionTimestamp"):
            return None
        if not self._revision_echo.settled(key):
            return 1.0  # the revision that it just made is not in the cache yet
        selector = selectors.from_object(found["spec"].get("selector"))
        pods = await self._claims.claim(found, selector, self._candidates(found))
        hashed = await self._revision(found, key)
        nodes = list(self.nodes.items())
        placed = _by_node(pods)
        if self._echo.settled(key):
            await self._work(found, (nodes, placed), hashed)
            await self._trim(found, key, pods)
        now = self._clock.now()
        await self._tell_status(found, plans.status_of(found, nodes, placed, (hashed, now)))
        return self._next_available(found, pods)

    async def _work(
        self, found: Json, world: tuple[list[Json], dict[str, list[Json]]], hashed: str
    ) -> None:
        nodes, placed = world
        key = key_of(found)
        plan = plans.manage(found, nodes, placed, (hashed, self._clock.now()))
        held = self._held_back(found, plan)
        if not plan.create and not plan.delete and not held:
            strategy = (found["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
            if strategy == "RollingUpdate":
                plan = plans.roll(found, nodes, placed, (hashed, self._clock.now()))
        for pod in plan.failed:
            self._tell_finished(found, pod)
        await asyncio.gather(*(self._delete(found, key, pod) for pod in plan.delete))
        await self._create(found, key, plan.create[:BURST], hashed)

    def _held_back(self, found: Json, plan: plans.Plan) -> bool:
        """Pods that fail again and again on a node are replaced ever later. Whether one waits."""
        held = []
        for pod in plan.failed:
            if phase(pod) != "Failed":
                continue
            meta = found["metadata"]
            place = (meta["uid"], meta.get("generation", 0), plans.node_of(pod))
            wait = self._failures.left(place, self._clock.monotonic())
            if wait > 0:
                held.append(pod)
                self.queue.add_after(key_of(found), wait)
            else:
                self._failures.note(place, self._clock.monotonic())
        plan.failed = [pod for pod in plan.failed if pod not in held]
        plan.delete = [pod for pod in plan.delete if pod not in held]
        return bool(held)

    async def _create(self, found: Json, key: Key, names: list[str], hashed: str) -> None:
        template = plans.template_for(found, hashed)
        reference = controller_reference(kinds.DAEMONSETS, found)
        left = list(names)

        async def one() -> None:
            pod = pod_from(plans.bound_to(template, left.pop(0)), key.name, reference)
            try:
                made = await self._client.create(kinds.PODS, pod, namespace=key.namespace)
            except ApiError as error:
                text = f"Error creating: {error}"
                self._recorder.event(found, "Warning", "FailedCreate", text)
                raise
            self._echo.wrote(key, made)
            text = f"Created pod: {made['metadata']['name']}"
            self._recorder.event(found, "Normal", "SuccessfulCreate", text)

        _, problem = await slow_start(len(names), one)
        if problem is not None:
            raise problem

    async def _delete(self, found: Json, key: Key, pod: Json) -> None:
        meta = pod["metadata"]
        await self._client.delete(kinds.PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        self._echo.deleted(key, pod)
        text = f"Deleted pod: {meta['name']}"
        self._recorder.event(found, "Normal", "SuccessfulDelete", text)

    async def _revision(self, found: Json, key: Key) -> str:
        """The hash of the current template; its revision is made if there is none yet."""
        template = found["spec"]["template"]
        collisions = (found.get("status") or {}).get("collisionCount")
        hashed = template_hash(template, collisions)
        labels = (template.get("metadata") or {}).get("labels") or {}
        wanted = Wanted(
            hashed,
            {**labels, plans.HASH_LABEL: hashed},
            found["metadata"].get("annotations") or {},
            patch_of(template),
        )
        known = self.revisions.by("controller", found["metadata"]["uid"])
        try:
            made = await self._history.latest(found, known, wanted)
        except AlreadyExists:
            status = {**(found.get("status") or {}), "collisionCount": (collisions or 0) + 1}
            await self._tell_status(found, status)
            raise
        self._revision_echo.wrote(key, made)
        label: str = made["metadata"]["labels"][plans.HASH_LABEL]
        return label

    async def _trim(self, found: Json, key: Key, pods: Sequence[Json]) -> None:
        limit = found["spec"].get("revisionHistoryLimit", 10)
        known = self.revisions.by("controller", found["metadata"]["uid"])
        live = {plans.label_of(pod) for pod in pods}
        named = {
            r["metadata"]["name"]
            for r in known
            if (r["metadata"].get("labels") or {}).get(plans.HASH_LABEL) in live
        }
        newest = max(known, key=lambda r: int(r.get("revision", 0)), default=None)
        if newest is not None:
            named.add(newest["metadata"]["name"])
        for revision in surplus(known, named, int(limit)):
            await self._history.remove(revision)
            self._revision_echo.deleted(key, revision)

    async def _tell_status(self, found: Json, status: Json) -> None:
        shown = {n: v for n, v in (found.get("status") or {}).items() if v not in (None, [])}
        if status != shown:
            try:
                wished = {**found, "status": status}
                await self._client.update(kinds.DAEMONSETS, wished, subresource="status")
            except NotFound:
                return

    def _tell_finished(self, found: Json, pod: Json) -> None:
        meta, node = pod["metadata"], plans.node_of(pod)
        if phase(pod) == "Failed":
            reason, word, end = "FailedDaemonPod", "failed", "kill"
        else:
            reason, word, end = "SucceededDaemonPod", "succeeded", "delete"
        kind = "Warning" if word == "failed" else "Normal"
        text = (
            f"Found {word} daemon pod {meta['namespace']}/{meta['name']} on node {node}, "
            f"will try to {end} it"
        )
        self._recorder.event(found, kind, reason, text)

    def _next_available(self, found: Json, pods: Sequence[Json]) -> float | None:
        need, now = found["spec"].get("minReadySeconds") or 0, self._clock.now()
        waits = [wait for pod in pods if (wait := available_in(pod, need, now))]
        return min(waits) + 0.01 if waits else None

    def _candidates(self, found: Json) -> list[Json]:
        meta = found["metadata"]
        orphans = self.pods.by("controller", f"orphan:{meta['namespace']}")
        return [
            *self.pods.by("controller", meta["uid"]),
            *(pod for pod in orphans if not is_terminating(pod)),
        ]

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            reference = controller_of(pod) if pod is not None else None
            if pod is not None and reference is not None:
                if reference["kind"] == kinds.DAEMONSETS.kind:
                    self.queue.add(Key(pod["metadata"]["namespace"], reference["name"]))
            elif pod is not None:
                labels = pod["metadata"].get("labels")
                for found in self.daemonsets.by("namespace", pod["metadata"]["namespace"]):
                    if selectors.from_object(found["spec"].get("selector")).matches(labels):
                        self.queue.add(key_of(found))

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if old is not None and new is not None:
            same = old["metadata"].get("labels") == new["metadata"].get("labels")
            if same and old["spec"].get("taints") == new["spec"].get("taints"):
                return
        name = (new or old or {})["metadata"]["name"]
        for found in list(self.daemonsets.items()):
            if new is None or self._is_misplaced(found, new, name):
                self.queue.add(key_of(found))

    def _is_misplaced(self, found: Json, node: Json, name: str) -> bool:
        """Whether there is something to do: a pod that may stay where none would be made is left
        alone, and so is the status, until something else happens.
        """
        runs, stays = plans.takes(found, node)
        pods = self.pods.by("controller", found["metadata"]["uid"])
        has_pod = any(plans.node_of(pod) == name for pod in pods)
        return not stays if has_pod else runs


class Failures:
    """How often a place failed, and how long it waits for the next try."""

    def __init__(self) -> None:
        self._known: OrderedDict[Place, tuple[int, float]] = OrderedDict()

    def left(self, place: Place, now: float) -> float:
        count, since = self._known.get(place, (0, 0.0))
        return max(0.0, since + FAILED.delay(count - 1) - now) if count else 0.0

    def note(self, place: Place, now: float) -> None:
        count, since = self._known.get(place, (0, now))
        if now - since > 2 * FAILED.cap_s:
            count = 0  # it went well for long
        self._known[place] = (count + 1, now)
        self._known.move_to_end(place)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _by_node(pods: Sequence[Json]) -> dict[str, list[Json]]:
    placed: dict[str, list[Json]] = {}
    for pod in pods:
        placed.setdefault(plans.node_of(pod), []).append(pod)
    return placed


def _namespace(obj: Json) -> tuple[str, ...]:
    return (obj["metadata"]["namespace"],)
