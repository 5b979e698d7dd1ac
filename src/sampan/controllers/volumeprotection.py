"""Claims in use by a pod and volumes in use by a claim are not deleted under them: a finalizer
holds them as long as that is so.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.client.client import Client
from sampan.controllers.deps import Deps
from sampan.controllers.pods import is_terminal
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


def pvcprotection(deps: Deps) -> Component:
    reconciler = ClaimProtection(deps)
    waits = (reconciler.claims, reconciler.pods)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=waits)


def pvprotection(deps: Deps) -> Component:
    reconciler = VolumeProtection(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.volumes,))


class ClaimProtection:
    """The reconciler; keys are claims."""

    name = "persistentvolumeclaim-protection"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of("pvc-protection-controller")
        self.claims = deps.informers.of(kinds.PERSISTENTVOLUMECLAIMS)
        self.pods = deps.informers.of(kinds.PODS, indexers={"claim": by_claim})
        self.claims.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        claim = self.claims.get(key)
        if claim is not None:
            in_use = any(_holds(pod) for pod in self.pods.by("claim", str(key)))
            rid = kinds.PERSISTENTVOLUMECLAIMS
            await _protect(self._client, rid, claim, (CLAIM_FINALIZER, in_use))
        return None

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None or is_terminal(new):
            for name in by_claim(new or old or {}):
                self.queue.add(Key(*name.split("/")))


class VolumeProtection:
    """The reconciler; keys are names of volumes."""

    name = "persistentvolume-protection"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._client = deps.client_of("pv-protection-controller")
        self.volumes = deps.informers.of(kinds.PERSISTENTVOLUMES)
        self.volumes.on_change(
            lambda old, new: self.queue.add((new or old or {})["metadata"]["name"])
        )

    async def reconcile(self, key: str) -> float | None:
        volume = self.volumes.get(Key("", key))
        if volume is not None:
            in_use = (volume.get("status") or {}).get("phase") == "Bound"
            rid = kinds.PERSISTENTVOLUMES
            await _protect(self._client, rid, volume, (VOLUME_FINALIZER, in_use))
        return None


async def _protect(client: Client, rid: ResourceId, obj: Json, state: tuple[str, bool]) -> None:
    """The finalizer on whatever stays; off what is to go and is in nobody's use."""
    finalizer, in_use = state
    meta = obj["metadata"]
    held: list[str] = meta.get("finalizers") or []
    leaving = bool(meta.get("deletionTimestamp"))
    if leaving and finalizer in held and not in_use:
        wished = [name for name in held if name != finalizer]
    elif not leaving and finalizer not in held:
        wished = [*held, finalizer]
    else:
        return
    try:
        await client.update(rid, {**obj, "metadata": {**meta, "finalizers": wished}})
    except NotFound:
        return


def _holds(pod: Json) -> bool:
    """A pod that is not on a node yet, or has ended, does not use its volumes."""
    return bool(pod["spec"].get("nodeName")) and not is_terminal(pod)


def by_claim(pod: Json) -> Iterable[str]:
    """For an index: the claims of a pod, ephemeral ones by the names that they get."""
    meta = pod["metadata"]
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append(f"{meta['namespace']}/{volume['persistentVolumeClaim']['claimName']}")
        elif "ephemeral" in volume:
            found.append(f"{meta['namespace']}/{meta['name']}-{volume['name']}")
    return found
