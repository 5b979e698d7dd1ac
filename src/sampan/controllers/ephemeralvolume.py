"""Claims of pods' ephemeral volumes: made with the pod, owned by it, gone with it."""

from __future__ import annotations

import copy

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.controllers.owners import controller_reference, controller_uid
from sampan.controllers.pods import is_terminal, is_terminating
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, namespace_is_leaving

ACCOUNT = "ephemeral-volume-controller"
COMPONENT = "ephemeral_volume"


def ephemeralvolume(deps: Deps) -> Component:
    reconciler = EphemeralVolumes(deps)
    waits = (reconciler.pods, reconciler.claims)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=waits)


class EphemeralVolumes:
    """The reconciler; keys are pods."""

    name = "ephemeral-volume-controller"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(COMPONENT, ACCOUNT)
        self.pods = deps.informers.of(kinds.PODS)
        self.claims = deps.informers.of(kinds.PERSISTENTVOLUMECLAIMS)
        self.pods.on_change(self._pod_changed)
        self.claims.on_change(self._claim_changed)

    async def reconcile(self, key: Key) -> float | None:
        pod = self.pods.get(key)
        if pod is None or is_terminating(pod) or is_terminal(pod):
            return None
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral") is not None:
                await self._need(pod, volume)
        return None

    async def _need(self, pod: Json, volume: Json) -> None:
        wished = claim_for(pod, volume)
        there = self.claims.get(key_of(wished))
        if there is not None:
            if controller_uid(there) == pod["metadata"]["uid"]:
                return
            about, claim = key_of(pod), key_of(wished)
            text = f"PVC {claim} was not created for pod {about} (pod is not owner)"
            self._tell(pod, volume, text)
            raise NotFound(text)  # again later: the claim may go
        try:
            await self._client.create(kinds.PERSISTENTVOLUMECLAIMS, wished)
        except AlreadyExists:
            raise  # not in the cache yet: whose it is shows at the next look
        except ApiError as error:
            if not namespace_is_leaving(error):
                self._tell(pod, volume, f"create PVC {wished['metadata']['name']}: {error}")
            raise

    def _tell(self, pod: Json, volume: Json, problem: str) -> None:
        text = f"ephemeral volume {volume['name']}: {problem}"
        self._recorder.event(pod, "Warning", "FailedBinding", text)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and old is None and _has_ephemeral(new):
            self.queue.add(key_of(new))

    def _claim_changed(self, old: Json | None, new: Json | None) -> None:
        """A claim that was deleted under its pod is made again."""
        if new is None and old is not None:
            for owner in old["metadata"].get("ownerReferences") or ():
                if owner.get("controller") and owner["kind"] == kinds.PODS.kind:
                    self.queue.add(Key(old["metadata"]["namespace"], owner["name"]))


def claim_for(pod: Json, volume: Json) -> Json:
    """The claim of one ephemeral volume, by the template in it."""
    template = copy.deepcopy(volume["ephemeral"].get("volumeClaimTemplate") or {})
    meta = template.get("metadata") or {}
    wanted: Json = {
        "name": f"{pod['metadata']['name']}-{volume['name']}",
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [controller_reference(kinds.PODS, pod)],
    }
    wanted |= {name: meta[name] for name in ("labels", "annotations") if meta.get(name)}
    return {"metadata": wanted, "spec": template.get("spec") or {}}


def _has_ephemeral(pod: Json) -> bool:
    return any(item.get("ephemeral") is not None for item in pod["spec"].get("volumes") or ())
