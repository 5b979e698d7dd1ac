"""PodDisruptionBudgets: how many pods may be taken away now. Evictions read the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sampan.api import kinds, selectors
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.api.selectors import shown
from sampan.controllers import conditions
from sampan.controllers.deployment_rules import scaled
from sampan.controllers.deps import Deps
from sampan.controllers.disruption_scale import BadScale, Scales
from sampan.controllers.pods import is_ready, is_terminal, is_terminating
from sampan.controllers.selecting import by_label, by_match_labels
from sampan.controllers.stamps import seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "disruption-controller"
EVICTION_TIMEOUT_S = 120.0
"""An eviction that was granted and did not happen by then is given back."""


class Expected(NamedTuple):
    """How many pods there should be, and how many of them must be healthy."""

    pods: int
    healthy: int
    unmanaged: bool = False
    """Some pods belong to nobody: the numbers do not mean much."""


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
        self._scales = Scales(self._client, deps.client)
        self.budgets = deps.informers.of(
            kinds.PODDISRUPTIONBUDGETS, indexers={"pair": by_match_labels}
        )
        self.pods = deps.informers.of(
            kinds.PODS, indexers={"namespace": _namespace, "label": by_label}
        )
        self.budgets.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        budget = self.budgets.get(key)
        if budget is None:
            return None
        pods = self._pods_of(budget)
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            expected = await self._expected(budget, pods)
        except BadScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._fail_safe(budget, str(error))
            return 30.0
        if expected.unmanaged:
            self._tell_unmanaged(budget)
        pending, wait = self._pending(budget, pods)
        healthy = sum(
            is_ready(pod) and not is_terminating(pod) and pod["metadata"]["name"] not in pending
            for pod in pods
        )
        await self._tell(budget, expected, healthy, pending)
        return wait

    async def _expected(self, budget: Json, pods: Sequence[Json]) -> Expected:
        """By the budget's rule. A number of pods that must stay needs no owner to ask. Raises
        BadScale.
        """
        spec = budget["spec"]
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if most is None and isinstance(least, int):
            return Expected(len(pods), least)
        count, unmanaged = await self._scales.of(budget["metadata"]["namespace"], pods)
        if most is not None:
            return Expected(count, max(0, count - scaled(most, count, up=True)), unmanaged)
        return Expected(count, scaled(least or 0, count, up=True), unmanaged)

    def _tell_unmanaged(self, budget: Json) -> None:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: "
            f"{shown(budget['spec'].get('selector'))}) were found to be unmanaged. As a result, "
            "the status of the PDB cannot be calculated correctly, which may result in undefined "
            'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB '
            "to an integer value."
        )
        self._recorder.event(budget, "Warning", "UnmanagedPods", text)

    def _pending(self, budget: Json, pods: Sequence[Json]) -> tuple[dict[str, str], float | None]:
        """Evictions that were granted and are not visible yet, and when the next one lapses."""
        granted = (budget.get("status") or {}).get("disruptedPods") or {}
        now = self._clock.now()
        pending: dict[str, str] = {}
        for pod in pods:
            since = granted.get(pod["metadata"]["name"])
            if since is None or is_terminating(pod):
                continue
            if seconds(since) + EVICTION_TIMEOUT_S > now:
                pending[pod["metadata"]["name"]] = since
            else:
                where = budget["metadata"]["namespace"]
                text = f"Pod was expected by PDB {where}/{where} to be deleted but it wasn't"
                self._recorder.event(pod, "Warning", "NotDeleted", text)
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
        generation = status.get("observedGeneration") or 0  # the one that was last counted
        since = stamp(self._clock.now())
        if old is not None and old.get("status") == truth:
            since = old.get("lastTransitionTime", since)
        fresh: Json = {
            "type": "DisruptionAllowed",
            "status": truth,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }
        if generation:
            fresh["observedGeneration"] = generation
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
                for budget in self._budgets_of(pod):
                    self.queue.add(key_of(budget))
        if new is not None:
            self._tell_several(new)

    def _pods_of(self, budget: Json) -> list[Json]:
        selector = selectors.from_object(budget["spec"].get("selector"))
        (pair,) = by_match_labels(budget)
        namespace = budget["metadata"]["namespace"]
        is_any = pair == f"{namespace}|"
        found = self.pods.by("namespace", namespace) if is_any else self.pods.by("label", pair)
        return [pod for pod in found if selector.matches(pod["metadata"].get("labels"))]

    def _budgets_of(self, pod: Json) -> list[Json]:
        labels = pod["metadata"].get("labels")
        pairs = [*by_label(pod), f"{pod['metadata']['namespace']}|"]
        return [
            budget
            for pair in pairs
            for budget in self.budgets.by("pair", pair)
            if selectors.from_object(budget["spec"].get("selector")).matches(labels)
        ]

    def _tell_several(self, pod: Json) -> None:
        budgets = self._budgets_of(pod)
        if len(budgets) > 1:
            meta = pod["metadata"]
            text = (
                f'Pod "{meta["namespace"]}"/"{meta["name"]}" matches multiple '
                f'PodDisruptionBudgets.  Chose "{budgets[0]["metadata"]["name"]}" arbitrarily.'
            )
            self._recorder.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)


def _matters(pod: Json) -> object:
    meta = pod["metadata"]
    return meta.get("labels"), is_ready(pod), is_terminal(pod), is_terminating(pod)


def _namespace(obj: Json) -> tuple[str, ...]:
    return (obj["metadata"]["namespace"],)
