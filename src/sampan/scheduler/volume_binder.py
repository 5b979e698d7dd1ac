"""Gives a pod's waiting claims their volumes before the pod is bound."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.meta import Json, Key, key_of
from sampan.client.client import Client
from sampan.scheduler.storage import (
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    Storage,
    VolumePlan,
    is_bound,
)
from sampan.std.clock import Clock

LOOK_S = 0.1


class NotBound(Exception):
    """The claims did not get their volumes in time."""


@dataclass
class VolumeBinder:
    """Writes what the volume controllers finish, and waits for them."""

    client: Client
    storage: Storage
    clock: Clock

    def reserve(self, plan: VolumePlan) -> None:
        """Nobody else gets these volumes meanwhile."""
        for claim, volume in plan.static:
            self.storage.set_aside[volume["metadata"]["name"]] = key_of(claim)

    def release(self, plan: VolumePlan) -> None:
        for _, volume in plan.static:
            self.storage.set_aside.pop(volume["metadata"]["name"], None)

    async def bind(self, plan: VolumePlan, node: str, patience_s: float) -> None:
        """Raises NotBound, or what the API server says."""
        for claim, volume in plan.static:
            await self._promise(claim, volume)
        for claim in plan.dynamic:
            meta = claim["metadata"]
            await self.client.patch(
                kinds.PERSISTENTVOLUMECLAIMS,
                meta["name"],
                {"metadata": {"annotations": {SELECTED_NODE: node}}},
                namespace=meta["namespace"],
            )
        keys = [key_of(claim) for claim, _ in plan.static]
        keys += [key_of(claim) for claim in plan.dynamic]
        await self._wait(keys, patience_s)

    async def _promise(self, claim: Json, volume: Json) -> None:
        meta = claim["metadata"]
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        }
        patch: Json = {
            "metadata": {"resourceVersion": volume["metadata"]["resourceVersion"]},
            "spec": {"claimRef": reference},
        }
        if volume["spec"].get("claimRef") is None:
            patch["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        await self.client.patch(kinds.PERSISTENTVOLUMES, volume["metadata"]["name"], patch)

    async def _wait(self, keys: list[Key], patience_s: float) -> None:
        until = self.clock.monotonic() + patience_s
        while True:
            claims = [self.storage.claim(key) for key in keys]
            if all(claim is not None and is_bound(claim) for claim in claims):
                return
            if any(claim is None for claim in claims) or self.clock.monotonic() > until:
                raise NotBound("binding volumes: timed out waiting for the claims to be bound")
            await self.clock.sleep(LOOK_S)
