"""ResourceQuotas: what is used, counted anew when something went or the quota itself changed.

Growth is charged by admission, in the transaction that stores the object. Here usage only sinks:
the quota is read first, then the objects, then the sum is written if the quota is still the same,
so a charge that came meanwhile is never undone.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import kinds
from sampan.api.errors import Conflict, NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.api.quantity import Quantity
from sampan.controllers.deps import Deps
from sampan.controllers.discovery import discover
from sampan.controllers.pods import is_terminal
from sampan.controllers.stamps import seconds
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.resources import usage

ACCOUNT = "resourcequota-controller"
COUNTED = (
    kinds.PODS, kinds.SERVICES, kinds.CONFIGMAPS, kinds.SECRETS, kinds.PERSISTENTVOLUMECLAIMS,
    kinds.REPLICATIONCONTROLLERS, kinds.RESOURCEQUOTAS,
)  # fmt: skip
RECOUNT_S = 300.0
"""Now and then all is counted anew, should a deletion have gone unnoticed."""


def resourcequota(deps: Deps) -> Component:
    reconciler = ResourceQuotas(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.quotas,))


class ResourceQuotas:
    """The reconciler."""

    name = "resourcequota"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._deps = deps
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._watched: set[ResourceId] = set()
        self.quotas = deps.informers.of(
            kinds.RESOURCEQUOTAS, indexers={"namespace": lambda q: (q["metadata"]["namespace"],)}
        )
        self.quotas.on_change(self._quota_changed)

    async def reconcile(self, key: Key) -> float | None:
        quota = await self._newest(key)
        if quota is None:
            return None
        hard = quota["spec"].get("hard") or {}
        full = {**quota, "status": {"hard": hard}}
        used: dict[str, Quantity] = {}
        for rid in await self._resources(hard):
            self._watch(rid)
            page = await self._client.list(rid, key.namespace)
            items = [item for item in page.get("items") or () if _matches(full, rid, item)]
            now = self._clock.now()
            seen = (_stuck_as_over(rid, item, now) for item in items)
            amounts = usage.total(usage.usage(rid.group, rid.plural, item) for item in seen)
            for name in usage.covered(full, rid.group, rid.plural):
                used[name] = amounts.get(name, used.get(name, Quantity(0)))
        status = {"hard": hard, "used": {name: str(value) for name, value in used.items()}}
        if status != (quota.get("status") or {}):
            try:
                await self._client.update(
                    kinds.RESOURCEQUOTAS, {**quota, "status": status}, subresource="status"
                )
            except NotFound:
                return None
            except Conflict:
                self.queue.add(key)
                return None
        return RECOUNT_S

    async def _newest(self, key: Key) -> Json | None:
        """From the server; by a list, since the account's role allows no more."""
        only = f"metadata.name={key.name}"
        page = await self._client.list(kinds.RESOURCEQUOTAS, key.namespace, fields=only)
        found: list[Json] = page.get("items") or []
        return found[0] if found else None

    async def _resources(self, hard: Iterable[str]) -> list[ResourceId]:
        """The resources whose objects may use something of this."""
        full: Json = {"status": {"hard": dict.fromkeys(hard, "0")}}
        found = [rid for rid in COUNTED if usage.covered(full, rid.group, rid.plural)]
        known = {usage.count_name(rid.group, rid.plural) for rid in found}
        rest = {name for name in hard if name.startswith("count/")} - known
        if rest:
            served = await discover(self._deps.client)
            found += [
                one.rid
                for one in served
                if one.rid.namespaced and usage.count_name(one.rid.group, one.rid.plural) in rest
            ]
        return found

    def _watch(self, rid: ResourceId) -> None:
        if rid not in self._watched:
            self._watched.add(rid)
            self._deps.informers.of(rid).on_change(self._object_changed)

    def _quota_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            return
        hard = new["spec"].get("hard") or {}
        if old is None or hard != ((new.get("status") or {}).get("hard") or {}):
            self.queue.add(key_of(new))

    def _object_changed(self, old: Json | None, new: Json | None) -> None:
        """Only what may make usage sink is worth counting."""
        sank = new is None or (old is not None and _uses_less(old, new))
        if sank:
            namespace = (new or old or {})["metadata"].get("namespace", "")
            for quota in self.quotas.by("namespace", namespace):
                self.queue.add(key_of(quota))


def _matches(quota: Json, rid: ResourceId, item: Json) -> bool:
    return usage.matches(quota, rid.group, rid.plural, item)


def _stuck_as_over(rid: ResourceId, item: Json, now: float) -> Json:
    """A pod that should have ended long ago (its node is lost) must not keep others from room."""
    meta = item["metadata"]
    grace = meta.get("deletionGracePeriodSeconds")
    if rid != kinds.PODS or grace is None or not meta.get("deletionTimestamp"):
        return item
    if now <= seconds(meta["deletionTimestamp"]) + float(grace):
        return item
    return {**item, "status": {**(item.get("status") or {}), "phase": "Failed"}}


def _uses_less(old: Json, new: Json) -> bool:
    if new["kind"] == "Pod":
        return is_terminal(new) and not is_terminal(old)
    return new["kind"] in ("Service", "PersistentVolumeClaim") and old["spec"] != new["spec"]
