"""Pods that do not bear a NoExecute taint of their node are deleted, those that bear it for a
while when the while is over.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.controllers.endpointslice import by_node
from sampan.controllers.node_taints import patience
from sampan.controllers.pods import is_terminating
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "node-controller"


def tainteviction(deps: Deps) -> Component:
    reconciler = TaintEviction(deps)
    waits = (reconciler.nodes, reconciler.pods)
    return Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)


class TaintEviction:
    """The reconciler; keys are pods."""

    name = "taint-eviction-controller"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("taint-eviction-controller", ACCOUNT)
        self._since: dict[Key, float] = {}
        """Pods that bear a taint for a while, and from when on."""
        self.nodes = deps.informers.of(kinds.NODES)
        self.pods = deps.informers.of(kinds.PODS, indexers={"node": by_node})
        self.nodes.on_change(self._node_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        pod = self.pods.get(key)
        if pod is None or is_terminating(pod):
            self._since.pop(key, None)
            return None
        node = self.nodes.get(Key("", pod["spec"].get("nodeName") or ""))
        taints = no_execute(node)
        bears = patience(pod, taints) if taints else None
        if bears is None:
            if self._since.pop(key, None) is not None:
                self._tell(pod, f"Cancelling deletion of Pod {key}")
            return None
        if bears:
            left = self._since.setdefault(key, self._clock.now()) + bears - self._clock.now()
            if left > 0:
                return left + 0.01
        self._since.pop(key, None)
        await self._evict(pod)
        return None

    def _tell(self, pod: Json, text: str) -> None:
        """About the pod by its name, as upstream, which may not know more of it by then."""
        meta = pod["metadata"]
        about = {"apiVersion": "v1", "kind": "Pod"}
        about |= {"name": meta["name"], "namespace": meta["namespace"]}
        self._recorder.event(about, "Normal", "TaintManagerEviction", text)

    async def _evict(self, pod: Json) -> None:
        meta = pod["metadata"]
        self._tell(pod, f"Marking for deletion Pod {key_of(pod)}")
        try:
            await self._client.update(kinds.PODS, self._marked(pod), subresource="status")
        except NotFound:
            return
        await self._client.delete(kinds.PODS, meta["name"], meta["namespace"], uid=meta["uid"])

    def _marked(self, pod: Json) -> Json:
        status = pod.get("status") or {}
        target: Json = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": stamp(self._clock.now()),
            "observedGeneration": pod["metadata"].get("generation", 0),
        }
        kept = [i for i in status.get("conditions") or () if i["type"] != "DisruptionTarget"]
        return {**pod, "status": {**status, "conditions": [*kept, target]}}

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None or no_execute(old) == no_execute(new):
            return
        for pod in self.pods.by("node", new["metadata"]["name"]):
            self.queue.add(key_of(pod))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self._since.pop(key_of(old or {}), None)
            return
        before = (old or {}).get("spec") or {}
        spec = new["spec"]
        same = before.get("nodeName") == spec.get("nodeName")
        if spec.get("nodeName") and not (
            same and before.get("tolerations") == spec.get("tolerations")
        ):
            self.queue.add(key_of(new))


def no_execute(node: Json | None) -> list[Json]:
    taints: Iterable[Json] = (node["spec"].get("taints") or ()) if node else ()
    return [item for item in taints if item["effect"] == "NoExecute"]
