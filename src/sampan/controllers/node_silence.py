"""Nodes that fall silent: how long it is since each was heard of, and what is told of those that
were not: Unknown conditions, and pods that no longer count as ready.

A node lives as long as its Lease or its status changes. The change is dated by our own clock, so
that nobody's clock is compared with another's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.errors import ApiError, Conflict, NotFound
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.controllers.deps import Settings
from sampan.controllers.endpointslice import by_node
from sampan.controllers.node_taints import status_of
from sampan.controllers.pods import condition, is_terminal
from sampan.controllers.stamps import stamp
from sampan.loop.events import Recorder
from sampan.loop.informer import Informer
from sampan.std import log
from sampan.std.clock import Clock

JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
TRIES = 5
_LOG = log.get("nodelifecycle")


@dataclass(slots=True)
class _Heart:
    """The last sign of life, and when we saw it."""

    sign: str
    at: float


class Silence:
    """The hearts of all nodes, and the hands that tell of those that stopped."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        pods: Informer,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._pods = pods
        self._clock = clock
        self._settings = settings
        self._hearts: dict[str, _Heart] = {}
        pods.add_indexers({"node": by_node})

    def lease_seen(self, lease: Json) -> None:
        self._beat(lease["metadata"]["name"], f"lease {lease['spec'].get('renewTime')}")

    def node_seen(self, old: Json | None, new: Json) -> None:
        name, told = new["metadata"]["name"], _told(new)
        if name not in self._hearts or (old is not None and _told(old) != told):
            self._beat(name, f"status {told}")

    def forget(self, name: str) -> None:
        self._hearts.pop(name, None)

    def begin_anew(self, name: str) -> None:
        """As if it had been heard of just now."""
        heart = self._hearts.get(name)
        if heart is not None:
            heart.at = self._clock.monotonic()

    def is_news(self, node: Json) -> bool:
        """Whether its grace period is over and nobody has told so."""
        heart = self._hearts.get(node["metadata"]["name"])
        if heart is None or status_of(node, "Ready") == "Unknown":
            return False
        has_reported = bool(status_of(node, "Ready"))
        grace = self._settings.node_monitor_grace_s
        if not has_reported:
            grace = self._settings.node_startup_grace_s
        return self._clock.monotonic() - heart.at > grace

    async def tell(self, node: Json) -> Json | None:
        """The node as it is then; None where it could not be told: the next look does."""
        name = node["metadata"]["name"]
        try:
            made = await self._store(node)
            if made is not None and status_of(node, "Ready") == "True":
                text = f"Node {name} status is now: NodeNotReady"
                self._recorder.event(about(node), "Normal", "NodeNotReady", text)
                await self.unready_pods(name)
        except (ApiError, Unreachable) as error:
            _LOG.warning("not told that it is silent", node=name, error=error)
            return None
        return made

    async def _store(self, node: Json) -> Json | None:
        """Against the newest state; None for a node that is gone, or is heard of again."""
        found: Json | None = node
        for _ in range(TRIES):
            if found is None or not self.is_news(found):
                break
            status = {**(found.get("status") or {})}
            status["conditions"] = unknown(found, self._clock.now())
            wished = {**found, "status": status}
            try:
                return await self._client.update(kinds.NODES, wished, subresource="status")
            except Conflict:
                found = await self._client.find(kinds.NODES, node["metadata"]["name"])
        return None

    async def unready_pods(self, name: str) -> None:
        """Endpoints must lose the pods of a node that nobody hears from."""
        pods = [pod for pod in self._pods.by("node", name) if not is_terminal(pod)]
        await asyncio.gather(*(self._unready(pod) for pod in pods))

    async def _unready(self, pod: Json) -> None:
        ready = condition(pod, "Ready")
        if ready is None or ready["status"] != "True":
            return
        now = stamp(self._clock.now())
        status = pod["status"]
        conditions = [
            {**item, "status": "False", "lastTransitionTime": now} if item is ready else item
            for item in status["conditions"]
        ]
        wished = {**pod, "status": {**status, "conditions": conditions}}
        try:
            await self._client.update(kinds.PODS, wished, subresource="status")
        except NotFound:
            return
        except Conflict:
            await self._unready_anew(pod)
            return
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _unready_anew(self, pod: Json) -> None:
        """Somebody wrote it meanwhile."""
        meta = pod["metadata"]
        fresh = await self._client.find(kinds.PODS, meta["name"], meta["namespace"])
        if fresh is not None and fresh["metadata"]["uid"] == meta["uid"]:
            await self._unready(fresh)

    def _beat(self, name: str, sign: str) -> None:
        heart = self._hearts.get(name)
        if heart is None or heart.sign != sign:
            self._hearts[name] = _Heart(sign, self._clock.monotonic())


def unknown(node: Json, now: float) -> list[Json]:
    """The node's conditions, those that are judged Unknown."""
    found = []
    known: list[Json] = (node.get("status") or {}).get("conditions") or []
    for item in known:
        if item["type"] in JUDGED and item["status"] != "Unknown":
            item = {
                **item,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": stamp(now),
            }
        found.append(item)
    told = {item["type"] for item in known}
    return found + [_never(node, kind, now) for kind in JUDGED if kind not in told]


def about(node: Json) -> Json:
    """Nodes have no namespace: their events go to `default`."""
    meta = node["metadata"]
    return {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}


def _told(node: Json) -> str:
    """What the kubelet itself wrote last."""
    ready = condition(node, "Ready")
    if ready is None or ready.get("reason") in ("NodeStatusUnknown", "NodeStatusNeverUpdated"):
        return ""
    return f"{ready.get('lastHeartbeatTime')} {ready['status']}"


def _never(node: Json, kind: str, now: float) -> Json:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
        "lastTransitionTime": stamp(now),
    }
