"""PodDisruptionBudgets: how many pods may be taken away now. Evictions read the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sampan.api import kinds, selectors
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.client.client import Client
from sampan.controllers import conditions
from sampan.controllers.deployment_rules import scaled
from sampan.controllers.deps import Deps
from sampan.controllers.owners import controller_of
from sampan.controllers.pods import is_ready, is_terminal, is_terminating
from sampan.controllers.stamps import seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "disruption-controller"
EVICTION_TIMEOUT_S = 120.0
"""An eviction that was granted and did not happen by then is given back."""
SCALED = {
    rid.kind: rid
    for rid in (kinds.REPLICATIONCONTROLLERS, kinds.REPLICASETS, kinds.DEPLOYMENTS,
                kinds.STATEFULSETS)
}  # fmt: skip


class Expected(NamedTuple):
    """How many pods there should be, and how many of them must be healthy."""

    pods: int
    healthy: int


class BadScale(Exception):
    """The pods' owner cannot say how many there should be; the message names it."""


def disruption(deps: Deps) -> Component:
    reconciler = Disruptions(deps)
    waits = (reconciler.budgets, reconciler.pods)
    return Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)


class Disruptions:
    """The reconciler."""

    name = "disruption"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder("controllermanager", ACCOUNT)
        self.budgets = deps.informers.of(
            kinds.PODDISRUPTIONBUDGETS, indexers={"namespace": _namespace}
        )
        self.pods = deps.informers.of(kinds.PODS, indexers={"namespace": _namespace})
        self.budgets.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        budget = self.budgets.get(key)
        if budget is None:
            return None
        selector = selectors.from_object(budget["spec"].get("selector"))
        pods = [
            pod
            for pod in self.pods.by("namespace", key.namespace)
            if not is_terminal(pod) and selector.matches(pod["metadata"].get("labels"))
        ]
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            expected = await _expected(self._client, budget, pods)
        except BadScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._fail_safe(budget, str(error))
            return 30.0
        pending, wait = self._pending(budget, pods)
        healthy = sum(
            is_ready(pod) and not is_terminating(pod) and pod["metadata"]["name"] not in pending
            for pod in pods
        )
        await self._tell(budget, expected, healthy, pending)
        return wait

    def _pending(self, budget: Json, pods: Sequence[Json]) -> tuple[dict[str, str], float | None]:
        """Evictions that were granted and are not visible yet, and when the next one lapses."""
        granted = (budget.get("status") or {}).get("disruptedPods") or {}
        names = {pod["metadata"]["name"] for pod in pods if not is_terminating(pod)}
        now = self._clock.now()
        pending = {
            name: since
            for name, since in granted.items()
            if name in names and seconds(since) + EVICTION_TIMEOUT_S > now
        }
        waits = [seconds(since) + EVICTION_TIMEOUT_S - now for since in pending.values()]
        return pending, min(waits) + 1 if waits else None

    async def _tell(
        self, budget: Json, expected: Expected, healthy: int, pending: dict[str, str]
    ) -> None:
        allowed = max(0, healthy - expected.healthy) if expected.pods > 0 else 0
        status: Json = {
            "currentHealthy": healthy,
            "desiredHealthy": expected.healthy,
            "expectedPods": expected.pods,
            "disruptionsAllowed": allowed,
            "observedGeneration": budget["metadata"].get("generation", 0),
        }
        if pending:
            status["disruptedPods"] = pending
        reason, truth = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
        await self._store(budget, status, (truth, reason, ""))

    async def _fail_safe(self, budget: Json, why: str) -> None:
        """What cannot be counted must not be disrupted."""
        status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
        await self._store(budget, status, ("False", "SyncFailed", why))

    async def _store(self, budget: Json, status: Json, told: tuple[str, str, str]) -> None:
        truth, reason, message = told
        known = (budget.get("status") or {}).get("conditions") or []
        old = conditions.find(known, "DisruptionAllowed")
        generation = budget["metadata"].get("generation", 0)
        since = stamp(self._clock.now())
        if old is not None and old.get("status") == truth:
            since = old.get("lastTransitionTime", since)
        fresh: Json = {
            "type": "DisruptionAllowed",
            "status": truth,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
            "observedGeneration": generation,
        }
        status["conditions"] = [*conditions.without(known, "DisruptionAllowed"), fresh]
        if status != (budget.get("status") or {}):
            try:
                wished = {**budget, "status": status}
                await self._client.update(kinds.PODDISRUPTIONBUDGETS, wished, subresource="status")
            except NotFound:
                return

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if old is not None and new is not None and _matters(old) == _matters(new):
            return
        for pod in (old, new):
            if pod is not None:
                labels = pod["metadata"].get("labels")
                for budget in self.budgets.by("namespace", pod["metadata"]["namespace"]):
                    if selectors.from_object(budget["spec"].get("selector")).matches(labels):
                        self.queue.add(key_of(budget))


async def _expected(client: Client, budget: Json, pods: Sequence[Json]) -> Expected:
    """By the budget's rule. A number of pods that must stay needs no owner to ask."""
    spec = budget["spec"]
    least = spec.get("minAvailable")
    if isinstance(least, int):
        return Expected(len(pods), least)
    count = await _scale(client, budget, pods)
    if least is not None:
        return Expected(count, scaled(least, count, up=True))
    most = spec.get("maxUnavailable")
    return Expected(count, max(0, count - scaled(most or 0, count, up=True)))


async def _scale(client: Client, budget: Json, pods: Sequence[Json]) -> int:
    """The sizes that the pods' owners were asked to have."""
    sizes: dict[str, int] = {}
    for pod in pods:
        reference = controller_of(pod)
        if reference is None:
            meta = pod["metadata"]
            raise BadScale(f'found no controller ref for pod "{meta["name"]}"')
        uid, size = await _owner_size(client, reference, key_of(budget).namespace)
        sizes[uid] = size
    return sum(sizes.values())


async def _owner_size(client: Client, reference: Json, namespace: str) -> tuple[str, int]:
    rid = SCALED.get(reference["kind"])
    if rid is None:
        raise BadScale(f"{reference['kind']} {reference['name']} does not implement scale")
    owner = await client.find(rid, reference["name"], namespace)
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        return reference["uid"], 0
    above = controller_of(owner)
    if above is not None and above["kind"] == "Deployment":
        return await _owner_size(client, above, namespace)
    replicas = owner["spec"].get("replicas")
    return owner["metadata"]["uid"], 1 if replicas is None else int(replicas)


def _matters(pod: Json) -> object:
    meta = pod["metadata"]
    return meta.get("labels"), is_ready(pod), is_terminal(pod), is_terminating(pod)


def _namespace(obj: Json) -> tuple[str, ...]:
    return (obj["metadata"]["namespace"],)
