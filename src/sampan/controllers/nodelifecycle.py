"""Nodes that fall silent: Unknown conditions, taints, and pods that no longer count as ready.

A node lives as long as its Lease or its status changes. The change is dated by our own clock, so
that nobody's clock is compared with another's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.errors import Conflict, NotFound
from sampan.api.meta import Json, Key
from sampan.controllers.deps import Deps
from sampan.controllers.endpointslice import by_node
from sampan.controllers.node_taints import status_of, taints_for
from sampan.controllers.pods import condition, is_terminal
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "node-controller"
LEASES = "kube-node-lease"
JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
OLD_LABELS = {
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
    "kubernetes.io/os": "beta.kubernetes.io/os",
}
TTL = "node.alpha.kubernetes.io/ttl"
STARTUP_GRACE_S = 60.0
"""A node that has never reported may take this long."""


def nodelifecycle(deps: Deps) -> Component:
    reconciler = NodeLifecycle(deps)
    waits = (reconciler.nodes, reconciler.leases, reconciler.pods)
    inner = Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)
    return _Watching(reconciler, inner)


@dataclass(slots=True)
class _Heart:
    """The last sign of life, and when we saw it."""

    sign: str
    at: float


@dataclass
class _Watching:
    """The controller with the look at the clock beside it."""

    reconciler: NodeLifecycle
    inner: Controller[str]
    name: str = "nodelifecycle"

    async def run(self, started: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.inner.run(started))
            group.create_task(self.reconciler.look_for_silence())


class NodeLifecycle:
    """The reconciler; keys are node names."""

    name = "nodelifecycle"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._settings = deps.settings
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("node-controller")
        self.nodes = deps.informers.of(kinds.NODES)
        self.leases = deps.informers.of(kinds.LEASES, namespace=LEASES)
        self.pods = deps.informers.of(kinds.PODS, indexers={"node": by_node})
        self._hearts: dict[str, _Heart] = {}
        self._known: set[str] = set()
        self._ready: set[str] = set()
        """Nodes that were ready when last looked at."""
        self.nodes.on_change(self._node_changed)
        self.leases.on_change(lambda old, new: self._lease_changed(new))

    async def look_for_silence(self) -> None:
        """Ask for each node whose grace period ran out since the last look."""
        while True:
            await self._clock.sleep(self._settings.node_monitor_period_s)
            for node in list(self.nodes.items()):
                if self._is_silent(node) and status_of(node, "Ready") != "Unknown":
                    self.queue.add(node["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(Key("", key))
        if node is None:
            self._hearts.pop(key, None)
            self._known.discard(key)
            self._ready.discard(key)
            return None
        if key not in self._known:
            self._known.add(key)
            text = f"Node {key} event: Registered Node {key} in Controller"
            self._recorder.event(_about(node), "Normal", "RegisteredNode", text)
        if self._is_silent(node):
            node = await self._make_unknown(node)
        node = await self._set_labels(node)
        await self._set_taints(node)
        if status_of(node, "Ready") == "True":
            self._ready.add(key)
        elif key in self._ready:
            # It was ready until now. Later it is the kubelet's word against nobody's.
            await self._unready_pods(key)
            self._ready.discard(key)
        return None

    # Silence.

    def _is_silent(self, node: Json) -> bool:
        heart = self._hearts.get(node["metadata"]["name"])
        if heart is None:
            return False
        grace = self._settings.node_monitor_grace_s
        if _ready(node) is None:
            grace = STARTUP_GRACE_S
        return self._clock.monotonic() - heart.at > grace

    async def _make_unknown(self, node: Json) -> Json:
        """All judged conditions become Unknown. Returns the node as it is then."""
        now = self._clock.now()
        status = node.get("status") or {}
        changed = []
        known = {item["type"]: item for item in status.get("conditions") or ()}
        for kind in JUDGED:
            old = known.get(kind)
            if old is None:
                changed.append(_never(node, kind))
            elif old["status"] != "Unknown":
                changed.append(
                    {
                        **old,
                        "status": "Unknown",
                        "reason": "NodeStatusUnknown",
                        "message": "Kubelet stopped posting node status.",
                        "lastTransitionTime": stamp(now),
                    }
                )
        if not changed:
            return node
        fresh = {item["type"]: item for item in changed}
        conditions = [fresh.pop(item["type"], item) for item in status.get("conditions") or ()]
        wished = {**node, "status": {**status, "conditions": [*conditions, *fresh.values()]}}
        made = await self._client.update(kinds.NODES, wished, subresource="status")
        name = node["metadata"]["name"]
        if status_of(node, "Ready") == "True":
            self._tell_not_ready(node, name)
        return made

    def _tell_not_ready(self, node: Json, name: str) -> None:
        text = f"Node {name} status is now: NodeNotReady"
        self._recorder.event(_about(node), "Normal", "NodeNotReady", text)

    # Labels, taints and pods.

    async def _set_labels(self, node: Json) -> Json:
        """The old names of architecture and system, which old selectors still ask for; and how
        long kubelets may trust what they cached, which grows with the cluster.
        """
        meta = node["metadata"]
        labels = meta.get("labels") or {}
        old = {beta: labels[name] for name, beta in OLD_LABELS.items() if name in labels}
        patch: Json = {}
        if any(labels.get(name) != value for name, value in old.items()):
            patch["labels"] = old
        ttl = str(cache_ttl(len(self.nodes)))
        if (meta.get("annotations") or {}).get(TTL) != ttl:
            patch["annotations"] = {TTL: ttl}
        if patch:
            with contextlib.suppress(NotFound):
                return await self._client.patch(kinds.NODES, meta["name"], {"metadata": patch})
        return node

    async def _set_taints(self, node: Json) -> None:
        wished = taints_for(node, self._clock.now(), evict=self._somebody_answers())
        if _shape(wished) == _shape(node["spec"].get("taints") or ()):
            return
        name = node["metadata"]["name"]
        # The list is replaced whole: somebody's new taint must not be lost in between.
        version = node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": wished or None}}
        try:
            await self._client.patch(kinds.NODES, name, body)
        except NotFound:
            return

    def _somebody_answers(self) -> bool:
        nodes = list(self.nodes.items())
        return len(nodes) < 2 or any(status_of(node, "Ready") == "True" for node in nodes)

    async def _unready_pods(self, name: str) -> None:
        """Endpoints must lose the pods of a node that nobody hears from."""
        pods = [pod for pod in self.pods.by("node", name) if not is_terminal(pod)]
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
            self.queue.retry(pod["spec"]["nodeName"])
            return
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    # What wakes it.

    def _beat(self, name: str, sign: str) -> None:
        heart = self._hearts.get(name)
        if heart is None or heart.sign != sign:
            self._hearts[name] = _Heart(sign, self._clock.monotonic())

    def _lease_changed(self, lease: Json | None) -> None:
        if lease is not None:
            self._beat(lease["metadata"]["name"], f"lease {lease['spec'].get('renewTime')}")

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self.queue.add((old or {})["metadata"]["name"])
            return
        name = new["metadata"]["name"]
        if name not in self._hearts or (old is not None and _told(old) != _told(new)):
            self._beat(name, f"status {_told(new)}")
        was_ready = old is not None and status_of(old, "Ready") == "True"
        if was_ready and status_of(new, "Ready") == "False":
            self._tell_not_ready(new, name)
        if old is None or _judgement(old) != _judgement(new):
            self.queue.add(name)


def cache_ttl(nodes: int) -> int:
    """Seconds, by the size of the cluster."""
    for most, ttl in ((100, 0), (500, 15), (1000, 30), (2000, 60)):
        if nodes <= most:
            return ttl
    return 300


def _ready(node: Json) -> Json | None:
    return condition(node, "Ready")


def _told(node: Json) -> str:
    """What the kubelet itself wrote last."""
    ready = _ready(node)
    if ready is None or ready.get("reason") in ("NodeStatusUnknown", "NodeStatusNeverUpdated"):
        return ""
    return f"{ready.get('lastHeartbeatTime')} {ready['status']}"


def _judgement(node: Json) -> object:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return (
        [(item["type"], item["status"]) for item in conditions],
        node["spec"].get("taints"),
        node["spec"].get("unschedulable"),
    )


def _never(node: Json, kind: str) -> Json:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
        "lastTransitionTime": node["metadata"].get("creationTimestamp"),
    }


def _shape(taints: Iterable[Json]) -> set[tuple[str, str, str]]:
    return {(item["key"], item["effect"], item.get("value") or "") for item in taints}


def _about(node: Json) -> Json:
    """Nodes have no namespace: their events go to `default`."""
    meta = node["metadata"]
    return {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}
