"""Claims and volumes find each other: static volumes are bound here, dynamic ones are made by
provisioners that watch for claims.

    claim --> best volume --> volume.claimRef --> claim.volumeName --> both Bound

Each step is stored before the next, and each is found again if this process dies in between.
"""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers import volume_match as match
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.pods import is_terminal
from sampan.controllers.volumeprotection import by_claim
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "persistent-volume-binder"
PROVISIONER_NOTES = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)


def persistentvolumebinder(deps: Deps) -> Component:
    reconciler = Binder(deps)
    waits = (reconciler.claims, reconciler.volumes, reconciler.classes, reconciler.pods)
    # One worker: two would promise the same volume to two claims.
    return Controller(reconciler, reconciler.queue, workers=1, wait_for=waits)


class Binder:
    """The reconciler; keys are claims (with a namespace) and volumes (without)."""

    name = "persistentvolume-binder"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("persistentvolume-controller", ACCOUNT)
        self.claims = deps.informers.of(kinds.PERSISTENTVOLUMECLAIMS)
        self.volumes = deps.informers.of(kinds.PERSISTENTVOLUMES)
        self.classes = deps.informers.of(kinds.STORAGECLASSES)
        self.pods = deps.informers.of(kinds.PODS, indexers={"claim": by_claim})
        self._volume_echo = Echo(self.volumes, deps.clock)
        self.claims.on_change(self._claim_changed)
        self.volumes.on_change(self._volume_changed)
        self.classes.on_change(lambda old, new: self._wake_pending())

    async def reconcile(self, key: Key) -> float | None:
        if not self._volume_echo.settled("volumes"):
            return 0.05  # a volume that was just promised is not in the cache yet
        if not key.namespace:
            await self._volume(key)
            return None
        claim = self.claims.get(key)
        if claim is None:
            return None
        if match.note(claim, match.BIND_COMPLETED):
            await self._keep(claim)
        elif claim["spec"].get("volumeName"):
            await self._bind_named(claim)
        else:
            await self._bind_best(claim)
        return None

    # Claims.

    async def _bind_best(self, claim: Json) -> None:
        waits = self._waits_for_consumer(claim)
        volume = match.best(claim, self.volumes.items(), only_reserved=waits)
        if volume is not None:
            await self._bind(volume, claim)
            return
        default = match.default_class(self.classes.items()) if match.has_no_class(claim) else ""
        if default:
            # The class became the default after the claim was made.
            spec = {**claim["spec"], "storageClassName": default}
            await self._client.update(kinds.PERSISTENTVOLUMECLAIMS, {**claim, "spec": spec})
            return
        if waits and not match.note(claim, match.SELECTED_NODE):
            self._tell_waits(claim)
        elif match.class_of(claim):
            await self._ask_provisioner(claim)
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._recorder.event(claim, "Normal", "FailedBinding", text)
        await self._claim_status(claim, {"phase": "Pending"})

    def _tell_waits(self, claim: Json) -> None:
        """Nobody uses the claim yet, or those who do have no node yet."""
        names = [
            pod["metadata"]["name"]
            for pod in self.pods.by("claim", str(key_of(claim)))
            if not is_terminal(pod) and not pod["spec"].get("nodeName")
        ]
        if names:
            who = f"pods {','.join(names)}" if len(names) > 1 else f"pod {names[0]}"
            text = f"waiting for {who} to be scheduled"
            self._recorder.event(claim, "Normal", "WaitForPodScheduled", text)
            return
        text = "waiting for first consumer to be created before binding"
        self._recorder.event(claim, "Normal", "WaitForFirstConsumer", text)

    async def _ask_provisioner(self, claim: Json) -> None:
        name = match.class_of(claim)
        found = self.classes.get(Key("", name))
        if found is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text)
            return
        provisioner = found["provisioner"]
        if provisioner == match.NO_PROVISIONER:
            text = f"no volume plugin matched name: {provisioner}"
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text)
            return
        if any(match.note(claim, item) != provisioner for item in PROVISIONER_NOTES):
            for item in PROVISIONER_NOTES:
                claim = match.with_note(claim, item, provisioner)
            await self._client.update(kinds.PERSISTENTVOLUMECLAIMS, claim)
        text = (
            "Waiting for a volume to be created either by the external provisioner "
            f"'{provisioner}' or manually by the system administrator. If volume creation is "
            "delayed, please verify that the provisioner is running and correctly registered."
        )
        self._recorder.event(claim, "Normal", "ExternalProvisioning", text)

    async def _bind_named(self, claim: Json) -> None:
        """The user, or the scheduler, chose the volume."""
        name = claim["spec"]["volumeName"]
        volume = self.volumes.get(Key("", name))
        if volume is None:
            await self._claim_status(claim, {"phase": "Pending"})
            return
        if volume["spec"].get("claimRef") is None:
            problem = match.fits(volume, claim)
            if problem:
                text = f'Cannot bind to requested volume "{name}": {problem}'
                self._recorder.event(claim, "Warning", "VolumeMismatch", text)
                await self._claim_status(claim, {"phase": "Pending"})
                return
        elif not match.is_for(volume, claim):
            text = f'volume "{name}" already bound to a different claim.'
            self._recorder.event(claim, "Warning", "FailedBinding", text)
            await self._claim_status(claim, {"phase": "Pending"})
            return
        await self._bind(volume, claim)

    async def _keep(self, claim: Json) -> None:
        """A bound claim stays bound, or is lost."""
        name = claim["spec"].get("volumeName") or ""
        volume = self.volumes.get(Key("", name)) if name else None
        if volume is not None and (
            volume["spec"].get("claimRef") is None or match.is_for(volume, claim)
        ):
            await self._bind(volume, claim)
            return
        if not name:
            reason, lost = "ClaimLost", "lost reference to PersistentVolume"
        elif volume is None:
            reason, lost = "ClaimLost", "lost its PersistentVolume"
        else:
            reason, lost = "ClaimMisbound", "two claims are bound to the same volume"
        text = f"Bound claim has {lost}. Data on the volume is lost!"
        if reason == "ClaimMisbound":
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
        if (claim.get("status") or {}).get("phase") != "Lost":
            self._recorder.event(claim, "Warning", reason, text)
        await self._claim_status(claim, {"phase": "Lost"})

    async def _bind(self, volume: Json, claim: Json) -> None:
        """The four steps; each does nothing where it was done before."""
        meta = claim["metadata"]
        reference = volume["spec"].get("claimRef")
        if reference is None or not reference.get("uid"):
            if reference is None:
                volume = match.with_note(volume, match.BOUND_BY_CONTROLLER)
            full = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            }
            volume = {**volume, "spec": {**volume["spec"], "claimRef": full}}
            volume = await self._client.update(kinds.PERSISTENTVOLUMES, volume)
            self._volume_echo.wrote("volumes", volume)
        await self._volume_phase(volume, "Bound")
        if claim["spec"].get("volumeName") != volume["metadata"]["name"]:
            claim = match.with_note(claim, match.BOUND_BY_CONTROLLER)
            spec = {**claim["spec"], "volumeName": volume["metadata"]["name"]}
            claim = {**claim, "spec": spec}
        if not match.note(claim, match.BIND_COMPLETED):
            claim = match.with_note(claim, match.BIND_COMPLETED)
            claim = await self._client.update(kinds.PERSISTENTVOLUMECLAIMS, claim)
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
            "capacity": volume["spec"].get("capacity") or {},
        }
        await self._claim_status(claim, status)

    async def _claim_status(self, claim: Json, status: Json) -> None:
        known = claim.get("status") or {}
        wished = {**known, **status}
        if wished != known:
            try:
                body = {**claim, "status": wished}
                await self._client.update(kinds.PERSISTENTVOLUMECLAIMS, body, subresource="status")
            except NotFound:
                return

    # Volumes.

    async def _volume(self, key: Key) -> None:
        volume = self.volumes.get(key)
        if volume is None:
            return
        reference = volume["spec"].get("claimRef")
        if reference is None or not reference.get("uid"):
            await self._volume_phase(volume, "Available")
            return
        claim = await self._claim_of(reference)
        if claim is None:
            await self._release(volume)
        elif claim["spec"].get("volumeName") == key.name:
            await self._volume_phase(volume, "Bound")
        elif not claim["spec"].get("volumeName"):
            self.queue.add(key_of(claim))
        elif match.note(volume, match.BOUND_BY_CONTROLLER):
            await self._unbind(volume)

    async def _claim_of(self, reference: Json) -> Json | None:
        """Asked from the server before a volume is released for its absence."""
        key = Key(reference["namespace"], reference["name"])
        claim = self.claims.get(key)
        if claim is None or claim["metadata"]["uid"] != reference["uid"]:
            claim = await self._client.find(kinds.PERSISTENTVOLUMECLAIMS, key.name, key.namespace)
        if claim is None or claim["metadata"]["uid"] != reference["uid"]:
            return None
        return claim

    async def _release(self, volume: Json) -> None:
        """Its claim is gone: kept for an administrator, or deleted by whoever provisioned it."""
        phase = (volume.get("status") or {}).get("phase")
        if phase != "Failed":
            await self._volume_phase(volume, "Released")
        provisioned = match.note(volume, "pv.kubernetes.io/provisioned-by")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy")
        if policy != "Retain" and not provisioned and phase != "Failed":
            word = "deletable" if policy == "Delete" else "recyclable"
            reason = "VolumeFailedDelete" if policy == "Delete" else "VolumeFailedRecycle"
            name = volume["metadata"]["name"]
            text = f'no {word} volume plugin matched for volume "{name}"'
            self._recorder.event(volume, "Warning", reason, text)
            await self._volume_phase(volume, "Failed", text)

    async def _unbind(self, volume: Json) -> None:
        """The claim went to another volume; this one is free again."""
        spec = {name: value for name, value in volume["spec"].items() if name != "claimRef"}
        meta = volume["metadata"]
        notes = {**(meta.get("annotations") or {})}
        notes.pop(match.BOUND_BY_CONTROLLER, None)
        wished = {**volume, "metadata": {**meta, "annotations": notes}, "spec": spec}
        fresh = await self._client.update(kinds.PERSISTENTVOLUMES, wished)
        self._volume_echo.wrote("volumes", fresh)

    async def _volume_phase(self, volume: Json, phase: str, message: str = "") -> None:
        known = volume.get("status") or {}
        if known.get("phase") == phase:
            return
        status = {**known, "phase": phase}
        status.pop("message", None)
        if message:
            status["message"] = message
        try:
            body = {**volume, "status": status}
            fresh = await self._client.update(kinds.PERSISTENTVOLUMES, body, subresource="status")
        except NotFound:
            return
        self._volume_echo.wrote("volumes", fresh)

    # What wakes it.

    def _waits_for_consumer(self, claim: Json) -> bool:
        found = self.classes.get(Key("", match.class_of(claim)))
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _claim_changed(self, old: Json | None, new: Json | None) -> None:
        claim = new or old or {}
        self.queue.add(key_of(claim))
        if new is None and claim["spec"].get("volumeName"):
            self.queue.add(Key("", claim["spec"]["volumeName"]))

    def _volume_changed(self, old: Json | None, new: Json | None) -> None:
        volume = new or old or {}
        self.queue.add(Key("", volume["metadata"]["name"]))
        reference = volume["spec"].get("claimRef")
        if reference is not None:
            self.queue.add(Key(reference.get("namespace", ""), reference["name"]))
        elif old is None:
            self._wake_pending()

    def _wake_pending(self) -> None:
        for claim in list(self.claims.items()):
            if not match.note(claim, match.BIND_COMPLETED):
                self.queue.add(key_of(claim))
