"""ResourceClaims of pods: which are there, and which pods must wait for theirs.

A pod whose claims are not there yet is not tried at all and says nothing, as under kube-scheduler
(its plugin DynamicResources keeps such pods out of the queue). Claims that somebody has allocated
are honoured and reserved; Sampan itself allocates no devices, so a claim without an allocation
finds no node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.api import kinds
from sampan.api.meta import Json, Key
from sampan.client.client import Client
from sampan.loop.informers import Informers
from sampan.scheduler.pod import PodView


def _no_claim(key: Key) -> Json | None:
    return None


def _no_class(name: str) -> Json | None:
    return None


@dataclass
class Devices:
    """Looks into the caches; empty until it is wired."""

    claim: Callable[[Key], Json | None] = _no_claim
    device_class: Callable[[str], Json | None] = _no_class

    def claims_of(self, pod: PodView) -> tuple[tuple[Json, ...], str]:
        """(the pod's claims, why it cannot be tried)."""
        found = []
        for entry in pod.spec.get("resourceClaims") or ():
            name, why = _name(pod, entry)
            if why:
                return (), why
            if not name:
                continue  # none was needed for this one
            claim = self.claim(Key(pod.namespace, name))
            why = _unusable(pod, claim, name, own="resourceClaimName" not in entry)
            if claim is None or why:
                return (), why
            found.append(claim)
        return tuple(found), ""


def _name(pod: PodView, entry: Json) -> tuple[str, str]:
    """(the claim's name, why there is none)."""
    if entry.get("resourceClaimName"):
        return entry["resourceClaimName"], ""
    for status in pod.obj.get("status", {}).get("resourceClaimStatuses") or ():
        if status["name"] == entry["name"]:
            return status.get("resourceClaimName") or "", ""
    return "", f'pod "{pod.key}": ResourceClaim not created yet'


def _unusable(pod: PodView, claim: Json | None, name: str, *, own: bool) -> str:
    if claim is None:
        return f'could not find v1.ResourceClaim "{pod.namespace}/{name}"'
    meta = claim["metadata"]
    if "deletionTimestamp" in meta:
        return f'resourceclaim "{name}" is being deleted'
    owners = {o.get("uid") for o in meta.get("ownerReferences") or () if o.get("controller")}
    if own and pod.uid not in owners:
        where = f"{pod.namespace}/{name} was not created for Pod {pod.key}"
        return f"ResourceClaim {where} (Pod is not owner)"
    return ""


@dataclass
class DeviceNews:
    """Opens the caches of claims and classes with the first pod that has some (a cluster without
    that API has none), and keeps the pods whose claims are missing.
    """

    informers: Informers
    devices: Devices
    ready: Callable[[PodView], None]
    """Told of a pod that waited here, once its claims are there."""
    changed: Callable[[], None]
    """Told when what claims say has changed."""
    _held: dict[Key, PodView] = field(default_factory=dict)
    _open: bool = False

    def holds(self, pod: PodView) -> bool:
        """Whether the pod must wait; a newer version of it may not."""
        self._held.pop(pod.key, None)
        if not pod.spec.get("resourceClaims"):
            return False
        self._look()
        if self.devices.claims_of(pod)[1]:
            self._held[pod.key] = pod
            return True
        return False

    def drop(self, key: Key) -> None:
        self._held.pop(key, None)

    def _look(self) -> None:
        if self._open:
            return
        self._open = True
        claims = self.informers.of(kinds.RESOURCECLAIMS)
        classes = self.informers.of(kinds.DEVICECLASSES)
        self.devices.claim = claims.get
        self.devices.device_class = lambda name: classes.get(Key("", name))
        for cache in (claims, classes):
            cache.on_change(lambda old, new: self._news())

    def _news(self) -> None:
        for pod in list(self._held.values()):
            if not self.holds(pod):
                self.ready(pod)
        self.changed()


async def reserve(client: Client, claims: tuple[Json, ...], pod: PodView) -> None:
    """Write into allocated claims that the pod uses them. Raises ApiError; a claim that changed
    meanwhile is a Conflict.
    """
    for claim in claims:
        users = claim.get("status", {}).get("reservedFor") or []
        if any(user.get("uid") == pod.uid for user in users):
            continue
        user = {"resource": "pods", "name": pod.key.name, "uid": pod.uid}
        status = {**claim["status"], "reservedFor": [*users, user]}
        await client.update(kinds.RESOURCECLAIMS, {**claim, "status": status}, subresource="status")
