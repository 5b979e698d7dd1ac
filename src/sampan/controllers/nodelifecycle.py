"""Nodes by what they tell: taints by their conditions, and, where they do not answer, first no new
pods and then, as fast as their zone allows (node_zones), none at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key
from sampan.controllers.deps import Deps
from sampan.controllers.node_silence import Silence, about
from sampan.controllers.node_taints import Evict, status_of, taints_for
from sampan.controllers.node_zones import Zones
from sampan.controllers.pods import is_ready
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "node-controller"
LEASES = "kube-node-lease"
OLD_LABELS = {
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
    "kubernetes.io/os": "beta.kubernetes.io/os",
}
TTL = "node.alpha.kubernetes.io/ttl"
SPACING_S = 1.0
"""Between two looks at all nodes that news of some ask for."""


def nodelifecycle(deps: Deps) -> Component:
    reconciler = NodeLifecycle(deps)
    waits = (reconciler.nodes, reconciler.leases, reconciler.pods)
    inner = Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)
    return _Watching(reconciler, inner)


@dataclass
class _Watching:
    """The controller with the look at the clock beside it."""

    reconciler: NodeLifecycle
    inner: Controller[str]
    name: str = "nodelifecycle"

    async def run(self, started: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.inner.run(started))
            await self.reconciler.synced()
            group.create_task(self.reconciler.look_around())
            group.create_task(self.reconciler.empty_nodes())


class NodeLifecycle:
    """The reconciler; keys are node names."""

    name = "nodelifecycle"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._clock = deps.clock
        self._period_s = deps.settings.node_monitor_period_s
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self.nodes = deps.informers.of(kinds.NODES)
        self.leases = deps.informers.of(kinds.LEASES, namespace=LEASES)
        self.pods = deps.informers.of(kinds.PODS)
        self._silence = Silence(self._client, self._recorder, self.pods, deps.clock, deps.settings)
        self._zones = Zones(deps.settings.eviction_rates)
        self._known: dict[str, Json] = {}
        self._granted: set[str] = set()
        """Nodes that may be emptied now."""
        self._late: set[str] = set()
        """Nodes that do not answer and got a pod that says it is ready."""
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self.nodes.on_change(self._node_changed)
        self.leases.on_change(self._lease_changed)
        self.pods.on_change(self._pod_changed)

    async def synced(self) -> None:
        for informer in (self.nodes, self.leases, self.pods):
            await informer.synced.wait()

    # Judging all together.

    async def look_around(self) -> None:
        """Who fell silent, and how the zones fare: now and then, and when a node tells other than
        before.
        """
        while True:
            await self._until(self._news, self._period_s)
            self._news.clear()
            silent = [node for node in self.nodes.items() if self._silence.is_news(node)]
            # All together before anybody is judged: that all fell silent at once says something.
            changed = await asyncio.gather(*(self._silence.tell(node) for node in silent))
            fresh = {node["metadata"]["name"]: node for node in changed if node is not None}
            nodes = [fresh.get(node["metadata"]["name"], node) for node in self.nodes.items()]
            if self._zones.look(nodes, self._clock.monotonic(), self._granted):
                self._disruption_turned(nodes)
            self._due.set()
            await self._clock.sleep(min(SPACING_S, self._period_s))

    def _disruption_turned(self, nodes: Iterable[Json]) -> None:
        """Nobody answers: nobody is emptied. Somebody does again: everybody's time begins anew."""
        self._granted.clear()
        for node in nodes:
            name = node["metadata"]["name"]
            if not self._zones.disrupted:
                self._silence.begin_anew(name)
            self.queue.add(name)

    async def empty_nodes(self) -> None:
        """Let nodes be emptied as fast as their zones allow."""
        while True:
            self._due.clear()
            now = self._clock.monotonic()
            for name in self._zones.due(now):
                self._granted.add(name)
                self.queue.add(name)
            await self._until(self._due, self._zones.wait(now))

    async def _until(self, news: asyncio.Event, seconds: float | None) -> None:
        """Until the news, or for that long."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(news.wait())]
        if seconds is not None:
            waits.append(asyncio.create_task(self._sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    # One node.

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(Key("", key))
        if node is None:
            self._forget(key)
            return None
        if key not in self._known:
            text = f"Node {key} event: Registered Node {key} in Controller"
            self._recorder.event(about(node), "Normal", "RegisteredNode", text)
            if not _answers(node):
                self._late.add(key)  # nobody may have told, while nobody looked
        self._known[key] = node
        if key in self._late:
            await self._silence.unready_pods(key)
            self._late.discard(key)
        node = await self._set_labels(node)
        await self._set_taints(node)
        if status_of(node, "Ready") == "True":
            self._granted.discard(key)
        return None

    def _forget(self, key: str) -> None:
        self._silence.forget(key)
        self._granted.discard(key)
        self._late.discard(key)
        gone = self._known.pop(key, None)
        if gone is not None:
            text = f"Node {key} event: Removing Node {key} from Controller"
            self._recorder.event(about(gone), "Normal", "RemovingNode", text)

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
        name = node["metadata"]["name"]
        evict = Evict.START if name in self._granted else Evict.GO_ON
        if self._zones.disrupted:
            evict = Evict.STOP
        wished = taints_for(node, self._clock.now(), evict)
        if _shape(wished) == _shape(node["spec"].get("taints") or ()):
            return
        # The list is replaced whole: somebody's new taint must not be lost in between.
        version = node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": wished or None}}
        with contextlib.suppress(NotFound):
            await self._client.patch(kinds.NODES, name, body)

    # What wakes it.

    def _lease_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self._silence.lease_seen(new)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        """A pod that comes to a node that does not answer is not ready, whatever it says."""
        name = (new or {}).get("spec", {}).get("nodeName")
        if new is None or not name or (old is not None and old["spec"].get("nodeName") == name):
            return
        node = self.nodes.get(Key("", name))
        if node is not None and not _answers(node) and is_ready(new):
            self._late.add(name)
            self.queue.add(name)

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self.queue.add((old or {})["metadata"]["name"])
            return
        self._silence.node_seen(old, new)
        if old is None or status_of(old, "Ready") != status_of(new, "Ready"):
            self._news.set()
        if old is None or _judgement(old) != _judgement(new):
            self.queue.add(new["metadata"]["name"])


def cache_ttl(nodes: int) -> int:
    """Seconds, by the size of the cluster."""
    for most, ttl in ((100, 0), (500, 15), (1000, 30), (2000, 60)):
        if nodes <= most:
            return ttl
    return 300


def _answers(node: Json) -> bool:
    """A node that has told nothing yet is given time."""
    return status_of(node, "Ready") not in ("False", "Unknown")


def _judgement(node: Json) -> object:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return (
        [(item["type"], item["status"]) for item in conditions],
        node["spec"].get("taints"),
        node["spec"].get("unschedulable"),
    )


def _shape(taints: Iterable[Json]) -> set[tuple[str, str, str]]:
    return {(item["key"], item["effect"], item.get("value") or "") for item in taints}
