"""Deployments: bring the pods from one template to the next, by ReplicaSets.

A round decides (deployment_rules), does (here: sizes and creates ReplicaSets) and tells
(deployment_status). A round that changed a ReplicaSet ends; the change wakes the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sampan.api import kinds, selectors
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import deployment_rules as rules
from sampan.controllers.deployment_round import Round
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.owners import BY_CONTROLLER, Claims, controller_of
from sampan.controllers.pods import is_terminal
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

COMPONENT = "deployment-controller"


def deployment(deps: Deps) -> Component:
    reconciler = Deployments(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(reconciler.deployments, reconciler.replicasets, reconciler.pods),
    )


class Deployments:
    """The reconciler."""

    name = "deployment"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(COMPONENT)
        self._recorder = deps.recorder(COMPONENT)
        self.deployments = deps.informers.of(kinds.DEPLOYMENTS, indexers={"namespace": _namespace})
        self.replicasets = deps.informers.of(kinds.REPLICASETS, indexers=BY_CONTROLLER)
        self.pods = deps.informers.of(kinds.PODS, indexers=BY_CONTROLLER)
        self._claims = Claims(self._client, kinds.DEPLOYMENTS, kinds.REPLICASETS)
        self._echo = Echo(self.replicasets, deps.clock)
        self._own_echo = Echo(self.deployments, deps.clock)
        self.deployments.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.replicasets.on_change(self._replicaset_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        found = self.deployments.get(key)
        if found is None:
            self._echo.forget(key)
            self._own_echo.forget(key)
            return None
        if not (self._echo.settled(key) and self._own_echo.settled(key)):
            return 1.0  # its own last writes are not in the caches yet; they will wake it
        selector = selectors.from_object(found["spec"].get("selector"))
        meta = found["metadata"]
        candidates = [
            *self.replicasets.by("controller", meta["uid"]),
            *self.replicasets.by("controller", f"orphan:{meta['namespace']}"),
        ]
        members = await self._claims.claim(found, selector, candidates)
        return await Round(self, key, found, members).run()

    # What a round does to the world.

    async def update_status(self, key: Key, deployment: Json) -> Json:
        fresh = await self._client.update(kinds.DEPLOYMENTS, deployment, subresource="status")
        self._own_echo.wrote(key, fresh)
        return fresh

    async def update(self, key: Key, deployment: Json) -> Json:
        fresh = await self._client.update(kinds.DEPLOYMENTS, deployment)
        self._own_echo.wrote(key, fresh)
        return fresh

    async def update_replicaset(self, key: Key, rs: Json) -> Json:
        fresh = await self._client.update(kinds.REPLICASETS, rs)
        self._echo.wrote(key, fresh)
        return fresh

    async def create_replicaset(self, key: Key, rs: Json) -> Json:
        fresh = await self._client.create(kinds.REPLICASETS, rs)
        self._echo.wrote(key, fresh)
        return fresh

    async def delete_replicaset(self, key: Key, rs: Json) -> None:
        meta = rs["metadata"]
        await self._client.delete(
            kinds.REPLICASETS, meta["name"], meta["namespace"], uid=meta["uid"]
        )
        self._echo.deleted(key, rs)

    async def find_replicaset(self, key: Key, name: str) -> Json | None:
        return await self._client.find(kinds.REPLICASETS, name, key.namespace)

    def tell(self, deployment: Json, kind: str, reason: str, message: str) -> None:
        self._recorder.event(deployment, kind, reason, message)

    def now(self) -> float:
        return self._clock.now()

    def old_pods_run(self, members: Iterable[Json], new: Json | None) -> bool:
        """Whether pods of other ReplicaSets than the new one are still there."""
        own = new["metadata"]["uid"] if new else ""
        return any(
            not is_terminal(pod)
            for rs in members
            if rs["metadata"]["uid"] != own
            for pod in self.pods.by("controller", rs["metadata"]["uid"])
        )

    # What wakes it.

    def _replicaset_changed(self, old: Json | None, new: Json | None) -> None:
        for rs in (old, new):
            if rs is not None:
                self._wake_owner(rs)
        if new is not None and controller_of(new) is None:
            labels = new["metadata"].get("labels")
            for found in self.deployments.by("namespace", new["metadata"]["namespace"]):
                if selectors.from_object(found["spec"].get("selector")).matches(labels):
                    self.queue.add(key_of(found))

    def _wake_owner(self, rs: Json) -> None:
        reference = controller_of(rs)
        if reference is not None and reference["kind"] == kinds.DEPLOYMENTS.kind:
            self.queue.add(Key(rs["metadata"]["namespace"], reference["name"]))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        # Only the last pod's end matters, and only to Recreate: everything else shows in the
        # ReplicaSet's status.
        reference = controller_of(old) if new is None and old is not None else None
        if old is None or reference is None or reference["kind"] != kinds.REPLICASETS.kind:
            return
        namespace = old["metadata"]["namespace"]
        rs = self.replicasets.get(Key(namespace, reference["name"]))
        above = controller_of(rs) if rs is not None else None
        if above is not None:
            found = self.deployments.get(Key(namespace, above["name"]))
            if found is not None and not rules.is_rolling(found):
                self.queue.add(key_of(found))


def _namespace(obj: Json) -> Sequence[str]:
    return (obj["metadata"]["namespace"],)
