"""Telling the API server about pods: the newest status wins, nobody waits for it but who must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.api import kinds
from sampan.api.errors import Conflict, NotFound
from sampan.api.meta import Json
from sampan.client.client import Client, PatchKind
from sampan.kubelet.status import OWN_CONDITIONS
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.std.backoff import Backoff
from sampan.std.clock import Clock

WORKERS = 8
LAZY_S = 0.15
RETRY = Backoff(first_s=0.02, factor=2, cap_s=10)
LISTED_BY_VALUE = {"podIPs": "ip", "hostIPs": "ip"}
"""Lists that a strategic patch merges by this key, so that what is gone must be said."""


@dataclass(slots=True)
class _Pod:
    """One pod as the API knows it, and what it is to know."""

    namespace: str
    name: str
    uid: str
    api: Json = field(default_factory=dict)
    version: int = 0
    wanted: Json | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    said: Json = field(default_factory=dict)
    """The last patch. A server that keeps something in a form of its own is not told twice."""


class StatusWriter:
    """A component; `set` notes a status down, `settled` waits until the API has it."""

    name = "pod status"

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.queue: Queue[str] = Queue(clock, RETRY)
        self.pods: dict[str, _Pod] = {}

    async def run(self, started: Callable[[], None]) -> None:
        await Controller(self, self.queue, workers=WORKERS).run(started)

    def seen(self, pod: Json) -> None:
        """The API shows the pod like this."""
        known = self._pod(pod)
        version = int(pod["metadata"].get("resourceVersion") or 0)
        if version >= known.version:
            known.api, known.version = pod.get("status") or {}, version
            self._wake(known)

    def set(self, pod: Json, status: Json, *, lazily: bool = False) -> None:
        """It shall show this; `pod` is the object at the API (the mirror of a static pod).
        `lazily`: there is better news within moments, most likely.
        """
        known = self._pod(pod)
        known.wanted = status
        known.settled.clear()
        self._wake(known, LAZY_S if lazily else 0.0)

    async def settled(self, uid: str) -> None:
        """Until the API has the last status that was set, or the pod is gone from there."""
        known = self.pods.get(uid)
        if known is not None and known.wanted is not None:
            await known.settled.wait()

    def forget(self, uid: str) -> None:
        known = self.pods.pop(uid, None)
        if known is not None:
            known.gone = True
            known.settled.set()

    async def reconcile(self, uid: str, /) -> None:
        known = self.pods.get(uid)
        if known is None or known.wanted is None:
            return
        wanted = known.wanted
        changes = difference(known.api, wanted)
        if changes and changes != known.said and not known.gone:
            body = {"metadata": {"uid": uid}, "status": changes}
            try:
                answer = await self.client.patch(
                    kinds.PODS,
                    known.name,
                    body,
                    namespace=known.namespace,
                    kind=PatchKind.STRATEGIC,
                    subresource="status",
                )
            except (NotFound, Conflict):
                known.gone = True  # deleted, or another pod of the same name stands there now
            else:
                known.version = int(answer["metadata"].get("resourceVersion") or 0)
                known.api, known.said = answer.get("status") or {}, changes
        if known.wanted is wanted:
            known.settled.set()
        else:
            self.queue.add(uid)

    def _pod(self, pod: Json) -> _Pod:
        meta = pod["metadata"]
        uid = meta["uid"]
        if uid not in self.pods:
            self.pods[uid] = _Pod(meta["namespace"], meta["name"], uid)
        return self.pods[uid]

    def _wake(self, known: _Pod, after_s: float = 0.0) -> None:
        if known.wanted is None:
            return
        changes = difference(known.api, known.wanted)
        if known.gone or not changes or changes == known.said:
            known.settled.set()
        else:
            self.queue.add_after(known.uid, after_s)


def difference(api: Json, wanted: Json) -> Json:
    """What a strategic merge patch must say to turn one into the other."""
    changes: Json = {}
    for name, value in wanted.items():
        if name == "conditions":
            changed = _conditions(api.get(name) or [], value)
            if changed:
                changes[name] = changed
        elif api.get(name) != value:
            changes[name] = value
            key = LISTED_BY_VALUE.get(name)
            if key and _lost(api.get(name) or [], value, key):
                changes[name] = [*value, {"$patch": "replace"}]
    return changes


def _conditions(api: list[Json], wanted: list[Json]) -> list[Json]:
    """The kubelet's own, all of them as soon as one is different."""
    there = {condition["type"]: condition for condition in api}
    own = [condition for condition in wanted if condition["type"] in OWN_CONDITIONS]
    same = all(_essence(there.get(condition["type"])) == _essence(condition) for condition in own)
    return [] if same else own


def _essence(condition: Json | None) -> Json | None:
    """A null and an absent field are the same."""
    if condition is None:
        return None
    return {name: value for name, value in condition.items() if value is not None}


def _lost(old: list[Json], new: list[Json], key: str) -> bool:
    return not {entry[key] for entry in old} <= {entry[key] for entry in new}
