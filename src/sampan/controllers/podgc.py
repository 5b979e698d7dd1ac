"""Pods that nobody else will remove: of nodes that are gone, deleted before they were scheduled,
left over by a node that is out of service, and finished ones beyond a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.api import kinds
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key
from sampan.client.transport import Unreachable
from sampan.controllers.conditions import put
from sampan.controllers.deps import Deps
from sampan.controllers.pods import is_ready, is_terminal, is_terminating
from sampan.controllers.stamps import created, stamp
from sampan.loop.component import Component
from sampan.std import log

ACCOUNT = "pod-garbage-collector"
PERIOD_S = 20.0
QUARANTINE_S = 40.0
"""A node that is not in the cache may only be late: its pods are safe this long."""
_LOG = log.get("podgc")


def podgc(deps: Deps) -> Component:
    return PodCollector(deps)


class PodCollector:
    """A component that looks around now and then; nothing here is urgent."""

    name = "podgc"

    def __init__(self, deps: Deps) -> None:
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._threshold = deps.settings.terminated_pod_threshold
        self.nodes = deps.informers.of(kinds.NODES)
        self.pods = deps.informers.of(kinds.PODS)
        self._missing: dict[str, float] = {}

    async def run(self, started: Callable[[], None]) -> None:
        for informer in (self.nodes, self.pods):
            await informer.synced.wait()
        started()
        while True:
            await self._clock.sleep(PERIOD_S)
            try:
                await self.collect()
            except (ApiError, Unreachable) as error:
                _LOG.warning("not this time", error=error)

    async def collect(self) -> None:
        """One look around."""
        pods = list(self.pods.items())
        gone = await self._nodes_gone(pods)
        for pod in pods:
            node = pod["spec"].get("nodeName") or ""
            if node in gone:
                await self._end(pod, "PodGC: node no longer exists")
            elif is_terminating(pod) and (not node or self._is_out_of_service(node)):
                await self._end(pod, "")
        await self._trim([pod for pod in pods if is_terminal(pod)])

    async def _nodes_gone(self, pods: list[Json]) -> set[str]:
        """Names that pods still carry and that the server does not know, for long enough."""
        now = self._clock.monotonic()
        named = {pod["spec"].get("nodeName") or "" for pod in pods} - {""}
        absent = {name for name in named if self.nodes.get(Key("", name)) is None}
        self._missing = {name: self._missing.get(name, now) for name in absent}
        due = [name for name, since in self._missing.items() if now - since >= QUARANTINE_S]
        found = await asyncio.gather(*(self._client.find(kinds.NODES, name) for name in due))
        return {name for name, node in zip(due, found, strict=True) if node is None}

    def _is_out_of_service(self, name: str) -> bool:
        node = self.nodes.get(Key("", name))
        taints = (node["spec"].get("taints") or ()) if node else ()
        told = any(item["key"] == "node.kubernetes.io/out-of-service" for item in taints)
        return told and node is not None and not is_ready(node)

    async def _trim(self, finished: list[Json]) -> None:
        surplus = len(finished) - self._threshold
        if self._threshold > 0 and surplus > 0:
            for pod in sorted(finished, key=_oldest_first)[:surplus]:
                await self._delete(pod)

    async def _end(self, pod: Json, why: str) -> None:
        """Failed first, so that owners count it as such, then away without grace."""
        if not is_terminal(pod):
            status = {**(pod.get("status") or {}), "phase": "Failed"}
            generation = pod["metadata"].get("generation", 0)
            status["observedGeneration"] = generation
            if why:
                target: Json = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": why,
                    "lastTransitionTime": stamp(self._clock.now()),
                    "observedGeneration": generation,
                }
                status["conditions"] = put(status.get("conditions") or [], target)
            try:
                wished = {**pod, "status": status}
                await self._client.update(kinds.PODS, wished, subresource="status")
            except NotFound:
                return
        await self._delete(pod)

    async def _delete(self, pod: Json) -> None:
        meta = pod["metadata"]
        await self._client.delete(
            kinds.PODS, meta["name"], meta["namespace"], grace_s=0, uid=meta["uid"]
        )


def _oldest_first(pod: Json) -> tuple[bool, float, str]:
    """Those that were evicted go before all others."""
    evicted = (pod.get("status") or {}).get("reason") == "Evicted"
    return not evicted, created(pod), pod["metadata"]["name"]
