"""Namespaces that are being deleted: remove everything inside, pods first, say what remains, and
let the namespace itself go when nothing does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sampan.api import kinds
from sampan.api.errors import ApiError, MethodNotAllowed, NotFound
from sampan.api.meta import Json, Key, ResourceId
from sampan.client.client import Client
from sampan.client.transport import Request
from sampan.controllers.deps import Deps
from sampan.controllers.discovery import survey
from sampan.controllers.pods import is_terminal
from sampan.controllers.stamps import seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "namespace-controller"
FINALIZER = "kubernetes"
AGAIN_S = (0.1, 15.0)
"""Between two looks at what remains; doubles, since objects with foreign finalizers may stay
long. The end of a pod is looked at once it happens.
"""


def namespace(deps: Deps) -> Component:
    reconciler = Namespaces(deps)
    waits = (reconciler.namespaces, reconciler.pods)
    return Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)


@dataclass(slots=True)
class Remains:
    """What is still in a namespace, and what went wrong removing it."""

    resources: Counter[str] = field(default_factory=Counter)
    """`configmaps.` and the like: how many."""
    finalizers: Counter[str] = field(default_factory=Counter)
    discovery_error: str = ""
    errors: list[str] = field(default_factory=list)
    pods_first: bool = False
    """Pods are still there: of the rest nothing is known yet, and nothing is told."""

    @property
    def nothing(self) -> bool:
        return not (self.resources or self.discovery_error or self.errors)


class Namespaces:
    """The reconciler; keys are namespace names."""

    name = "namespace"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._looks: Counter[str] = Counter()
        self.namespaces = deps.informers.of(kinds.NAMESPACES)
        self.pods = deps.informers.of(kinds.PODS)
        self.namespaces.on_change(self._namespace_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: str) -> float | None:
        found = self.namespaces.get(Key("", key))
        if found is None or not found["metadata"].get("deletionTimestamp"):
            self._looks.pop(key, None)
            return None
        if FINALIZER not in (found["spec"].get("finalizers") or ()):
            return None  # ours is done; others' finalizers hold it
        remains = await self._empty(found)
        if remains.nothing:
            await self._finalize(found)
            return None
        await self._tell(found, remains)
        self._looks[key] += 1
        return min(AGAIN_S[1], AGAIN_S[0] * 2.0 ** self._looks[key])

    async def _empty(self, found: Json) -> Remains:
        """Ask for the deletion of all that is there."""
        key, remains = found["metadata"]["name"], Remains()
        await self._empty_of(found, kinds.PODS, remains)
        if remains.resources:
            # Other things go only after the pods that may still need them (secrets, accounts).
            remains.pods_first = True
            return remains
        try:
            known = await survey(self._client)
        except ApiError as error:
            remains.discovery_error = str(error)
            return remains
        if known.stale:
            remains.discovery_error = incomplete(known.stale)
        rids = [
            one.rid
            for one in known.served
            if one.rid.namespaced and {"list", "delete"} <= one.verbs and one.rid != kinds.PODS
        ]
        async with asyncio.TaskGroup() as group:
            for rid in rids:
                group.create_task(self._empty_of(found, rid, remains), name=f"{key} {rid.plural}")
        return remains

    async def _empty_of(self, found: Json, rid: ResourceId, remains: Remains) -> None:
        key = found["metadata"]["name"]
        try:
            items = await _items(self._client, rid, key)
            if not items:
                return
            await self._delete_all(key, rid, items)
            left = await _items(self._client, rid, key)
        except MethodNotAllowed:
            return
        except ApiError as error:
            remains.errors.append(str(error))
            return
        if not left:
            return
        remains.resources[f"{rid.plural}.{rid.group}"] += len(left)
        finalizers = [name for item in left for name in item["metadata"].get("finalizers") or ()]
        remains.finalizers.update(finalizers)
        waits = rid == kinds.PODS and self._end_gracefully(found, items)
        if not finalizers and not waits:
            about = f"{rid.group}/{rid.version}, Resource={rid.plural}"
            remains.errors.append(
                f"unexpected items still remain in namespace: {key} for gvr: {about}"
            )

    def _end_gracefully(self, found: Json, pods: Iterable[Json]) -> bool:
        """Whether pods may still be there since they were given that time."""
        grace = max(
            (
                int(pod["spec"].get("terminationGracePeriodSeconds") or 0)
                for pod in pods
                if not is_terminal(pod)
            ),
            default=0,
        )
        return self._clock.now() - seconds(found["metadata"]["deletionTimestamp"]) < grace

    async def _delete_all(self, key: str, rid: ResourceId, items: Sequence[Json]) -> None:
        headers = {"content-type": "application/json"}
        body = b'{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}'
        response = await self._client.raw(
            Request("DELETE", rid.path(key), "", headers, body), timeout_s=60
        )
        await response.read()
        if response.status in (404, 405):
            for item in items:
                meta = item["metadata"]
                await self._client.delete(rid, meta["name"], key, propagation="Background")

    async def _finalize(self, found: Json) -> None:
        left = [name for name in found["spec"]["finalizers"] if name != FINALIZER]
        wished = {**found, "spec": {**found["spec"], "finalizers": left}}
        try:
            await self._client.update(kinds.NAMESPACES, wished, subresource="finalize")
        except NotFound:
            return

    async def _tell(self, found: Json, remains: Remains) -> None:
        status = found.get("status") or {}
        known = status.get("conditions") or []
        conditions = conditions_for(known, remains, self._clock.now())
        if conditions == known:
            return
        wished = {**found, "status": {**status, "conditions": conditions}}
        try:
            await self._client.update(kinds.NAMESPACES, wished, subresource="status")
        except NotFound:
            return

    def _namespace_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and new["metadata"].get("deletionTimestamp"):
            self.queue.add(new["metadata"]["name"])

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            name = old["metadata"]["namespace"]
            found = self.namespaces.get(Key("", name))
            if found is not None and found["metadata"].get("deletionTimestamp"):
                self._looks.pop(name, None)
                self.queue.add(name)


def conditions_for(known: Sequence[Json], remains: Remains, now: float) -> list[Json]:
    """The five conditions; one whose status and text did not change keeps its time."""
    told = Remains() if remains.pods_first else remains
    resources = ", ".join(_counted(told.resources.items(), "has "))
    finalizers = ", ".join(_counted(told.finalizers.items(), "in "))
    rows = (
        ("NamespaceDeletionDiscoveryFailure", remains.discovery_error,
         ("DiscoveryFailed", remains.discovery_error),
         ("ResourcesDiscovered", "All resources successfully discovered")),
        ("NamespaceDeletionGroupVersionParsingFailure", "", ("GroupVersionParsingFailed", ""),
         ("ParsedGroupVersions", "All legacy kube types successfully parsed")),
        ("NamespaceDeletionContentFailure", remains.errors,
         ("ContentDeletionFailed",
          f"Failed to delete all resource types, {len(remains.errors)} remaining: "
          f"{', '.join(sorted(remains.errors))}"),
         ("ContentDeleted",
          "All content successfully deleted, may be waiting on finalization")),
        ("NamespaceContentRemaining", resources,
         ("SomeResourcesRemain", f"Some resources are remaining: {resources}"),
         ("ContentRemoved", "All content successfully removed")),
        ("NamespaceFinalizersRemaining", finalizers,
         ("SomeFinalizersRemain",
          f"Some content in the namespace has finalizers remaining: {finalizers}"),
         ("ContentHasNoFinalizers", "All content-preserving finalizers finished")),
    )  # fmt: skip
    before = {item["type"]: item for item in known}
    conditions = []
    for kind, bad, wrong, right in rows:
        reason, message = wrong if bad else right
        fresh: Json = {
            "type": kind,
            "status": "True" if bad else "False",
            "lastTransitionTime": stamp(now),
            "reason": reason,
            "message": message,
        }
        old = before.get(kind)
        same = old is not None and all(
            old.get(name) == fresh[name] for name in ("status", "reason", "message")
        )
        if old is not None and old.get("status") == fresh["status"]:
            fresh["lastTransitionTime"] = old.get("lastTransitionTime")
        conditions.append(old if same and old is not None else fresh)
    return conditions


def incomplete(stale: Sequence[str]) -> str:
    rows = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in stale)
    return (
        f"Discovery failed for some groups, {len(stale)} failing: "
        f"unable to retrieve the complete list of server APIs: {rows}"
    )


def _counted(rows: Iterable[tuple[str, int]], verb: str) -> list[str]:
    return [f"{name} {verb}{count} resource instances" for name, count in sorted(rows)]


async def _items(client: Client, rid: ResourceId, namespace: str) -> list[Json]:
    try:
        page = await client.list(rid, namespace)
    except NotFound:
        return []  # the definition of a custom resource went meanwhile
    items: list[Json] = page.get("items") or []
    return items
