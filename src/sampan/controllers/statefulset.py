"""StatefulSets: pods with numbers and storage of their own (statefulset_plan decides)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sampan.api import kinds, selectors
from sampan.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import statefulset_plan as plans
from sampan.controllers import statefulset_pods as members
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.owners import BY_CONTROLLER, Claims, controller_of
from sampan.controllers.pods import available_in, is_terminating
from sampan.controllers.revisions import (
    Revisions,
    Wanted,
    in_order,
    patch_of,
    revision_hash,
    surplus,
    template_in,
)
from sampan.controllers.statefulset_claims import has_other_controller, owners_for
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "statefulset-controller"
HASH_LABEL = "controller.kubernetes.io/hash"


def statefulset(deps: Deps) -> Component:
    reconciler = StatefulSets(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(
            reconciler.statefulsets, reconciler.pods, reconciler.revisions, reconciler.claims,
        ),
    )  # fmt: skip


class StatefulSets:
    """The reconciler."""

    name = "statefulset"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self.statefulsets = deps.informers.of(
            kinds.STATEFULSETS, indexers={"namespace": _namespace}
        )
        self.pods = deps.informers.of(kinds.PODS, indexers=BY_CONTROLLER)
        self.revisions = deps.informers.of(kinds.CONTROLLERREVISIONS, indexers=BY_CONTROLLER)
        self.claims = deps.informers.of(kinds.PERSISTENTVOLUMECLAIMS)
        self._claiming = Claims(self._client, kinds.STATEFULSETS, kinds.PODS)
        self._history = Revisions(self._client, kinds.STATEFULSETS)
        self._echo = Echo(self.pods, deps.clock)
        self._revision_echo = Echo(self.revisions, deps.clock)
        self.statefulsets.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.pods.on_change(self._pod_changed)
        self.claims.on_change(self._claim_changed)

    async def reconcile(self, key: Key) -> float | None:
        found = self.statefulsets.get(key)
        if found is None:
            self._echo.forget(key)
            self._revision_echo.forget(key)
            return None
        if not (self._echo.settled(key) and self._revision_echo.settled(key)):
            return 1.0  # its own last writes are not in the caches yet; they will wake it
        selector = selectors.from_object(found["spec"].get("selector"))
        claimed = await self._claiming.claim(found, selector, self._candidates(found))
        pods = [pod for pod in claimed if members.ordinal_of(found, pod) is not None]
        view = await self._view(found, key, pods)
        made = 0
        collisions = int((found.get("status") or {}).get("collisionCount") or 0)
        if not found["metadata"].get("deletionTimestamp"):
            try:
                made = await self._do(view, key)
            except ApiError:
                # What could be counted is told, also where the step got stuck.
                await self._tell_status(found, plans.status_of(view, 0, collisions))
                raise
        await self._tell_status(found, plans.status_of(view, made, collisions))
        await self._trim(view, key)
        return self._next_available(found, pods)

    # The two revisions.

    async def _view(self, found: Json, key: Key, pods: Sequence[Json]) -> plans.View:
        known = self.revisions.by("controller", found["metadata"]["uid"])
        update = await self._update_revision(found, key, known)
        named = (found.get("status") or {}).get("currentRevision") or ""
        current = next((r for r in known if r["metadata"]["name"] == named), update)
        return plans.View(
            found,
            pods,
            current,
            update,
            template_in(current),
            template_in(update),
            self._clock.now(),
        )

    async def _update_revision(self, found: Json, key: Key, known: Sequence[Json]) -> Json:
        status = found.get("status") or {}
        collisions = int(status.get("collisionCount") or 0)
        template = found["spec"]["template"]
        patch = patch_of(template)
        hashed = revision_hash(patch, collisions)
        labels = (template.get("metadata") or {}).get("labels") or {}
        notes = found["metadata"].get("annotations") or {}
        wanted = Wanted(hashed, {**labels, HASH_LABEL: hashed}, notes, patch)
        try:
            made = await self._history.latest(found, known, wanted)
        except AlreadyExists:
            await self._tell_status(found, {**status, "collisionCount": collisions + 1})
            raise
        self._revision_echo.wrote(key, made)
        return made

    async def _trim(self, view: plans.View, key: Key) -> None:
        known = in_order(self.revisions.by("controller", view.statefulset["metadata"]["uid"]))
        limit = view.statefulset["spec"].get("revisionHistoryLimit", 10)
        live = {members.revision_of(pod) for pod in view.pods}
        live |= {view.current["metadata"]["name"], view.update["metadata"]["name"]}
        for revision in surplus(known, live, int(limit)):
            await self._history.remove(revision)
            self._revision_echo.deleted(key, revision)

    # One step.

    async def _do(self, view: plans.View, key: Key) -> int:
        """How many pods were made."""
        plan = plans.step(view)
        for pod in view.pods:
            await self._own_claims(view.statefulset, key, pod)
        await asyncio.gather(*(self._delete(view.statefulset, key, pod) for pod in plan.delete))
        await asyncio.gather(*(self._change(view.statefulset, key, pod) for pod in plan.change))
        made = await asyncio.gather(
            *(self._create(view.statefulset, key, pod) for pod in plan.create)
        )
        return sum(bool(members.is_created(pod)) for pod in made)

    async def _create(self, found: Json, key: Key, pod: Json) -> Json:
        name = pod["metadata"]["name"]
        try:
            await self._make_claims(found, pod)
            made = await self._client.create(kinds.PODS, pod)
        except AlreadyExists:
            raise  # somebody else's pod has the name: nothing to tell, it is tried again
        except ApiError as error:
            text = f"Create Pod {name} in StatefulSet {key.name} failed error: {error}"
            self._recorder.event(found, "Warning", "FailedCreate", text)
            raise
        self._echo.wrote(key, made)
        await self._own_claims(found, key, made)
        text = f"Create Pod {name} in StatefulSet {key.name} successful"
        self._recorder.event(found, "Normal", "SuccessfulCreate", text)
        return made

    async def _make_claims(self, found: Json, pod: Json) -> None:
        for claim in members.claims_for(found, pod):
            there = self.claims.get(key_of(claim))
            if there is not None:
                if there["metadata"].get("deletionTimestamp"):
                    raise Conflict(f"pvc {claim['metadata']['name']} is being deleted")
                continue
            try:
                await self._client.create(kinds.PERSISTENTVOLUMECLAIMS, claim)
            except AlreadyExists:
                continue
            text = (
                f"Create Claim {claim['metadata']['name']} Pod {pod['metadata']['name']} "
                f"in StatefulSet {key_of(found).name} success"
            )
            self._recorder.event(found, "Normal", "SuccessfulCreate", text)

    async def _own_claims(self, found: Json, key: Key, pod: Json) -> None:
        """The claims' owners follow the retention policy."""
        for wished in members.claims_for(found, pod):
            claim = self.claims.get(key_of(wished))
            if claim is None or claim["metadata"].get("deletionTimestamp"):
                continue
            if has_other_controller(found, pod, claim):
                text = (
                    f"PersistentVolumeClaim {claim['metadata']['name']} has a conflicting "
                    "OwnerReference that acts as a manging controller, the retention policy is "
                    "ignored for this claim"
                )
                self._recorder.event(found, "Warning", "ConflictingController", text)
            owners = owners_for(found, pod, claim)
            if owners is not None:
                meta = {**claim["metadata"], "ownerReferences": owners}
                await self._client.update(kinds.PERSISTENTVOLUMECLAIMS, {**claim, "metadata": meta})

    async def _change(self, found: Json, key: Key, pod: Json) -> None:
        name = pod["metadata"]["name"]
        await self._make_claims(found, pod)
        self._echo.wrote(key, await self._client.update(kinds.PODS, pod))
        text = f"Update Pod {name} in StatefulSet {key.name} successful"
        self._recorder.event(found, "Normal", "SuccessfulUpdate", text)

    async def _delete(self, found: Json, key: Key, pod: Json) -> None:
        meta = pod["metadata"]
        await self._client.delete(kinds.PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        self._echo.deleted(key, pod)
        text = f"Delete Pod {meta['name']} in StatefulSet {key.name} successful"
        self._recorder.event(found, "Normal", "SuccessfulDelete", text)

    # Telling.

    async def _tell_status(self, found: Json, status: Json) -> None:
        shown = {n: v for n, v in (found.get("status") or {}).items() if v not in (None, [])}
        if status != shown:
            try:
                wished = {**found, "status": status}
                await self._client.update(kinds.STATEFULSETS, wished, subresource="status")
            except NotFound:
                return

    def _next_available(self, found: Json, pods: Sequence[Json]) -> float | None:
        need, now = found["spec"].get("minReadySeconds") or 0, self._clock.now()
        waits = [wait for pod in pods if (wait := available_in(pod, need, now))]
        return min(waits) + 0.01 if waits else None

    def _candidates(self, found: Json) -> Iterable[Json]:
        meta = found["metadata"]
        orphans = self.pods.by("controller", f"orphan:{meta['namespace']}")
        fitting = (pod for pod in orphans if members.ordinal_of(found, pod) is not None)
        return [
            *self.pods.by("controller", meta["uid"]),
            *(pod for pod in fitting if not is_terminating(pod)),
        ]

    def _claim_changed(self, old: Json | None, new: Json | None) -> None:
        """A claim that was just made gets its owners once it is seen."""
        if old is None and new is not None:
            meta = new["metadata"]
            for found in self.statefulsets.by("namespace", meta["namespace"]):
                templates = found["spec"].get("volumeClaimTemplates") or ()
                names = [f"{t['metadata']['name']}-{found['metadata']['name']}-" for t in templates]
                if any(meta["name"].startswith(name) for name in names):
                    self.queue.add(key_of(found))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            reference = controller_of(pod) if pod is not None else None
            if pod is not None and reference is not None:
                if reference["kind"] == kinds.STATEFULSETS.kind:
                    self.queue.add(Key(pod["metadata"]["namespace"], reference["name"]))
            elif pod is not None:
                for found in self.statefulsets.by("namespace", pod["metadata"]["namespace"]):
                    if members.ordinal_of(found, pod) is not None:
                        self.queue.add(key_of(found))


def _namespace(obj: Json) -> tuple[str, ...]:
    return (obj["metadata"]["namespace"],)
