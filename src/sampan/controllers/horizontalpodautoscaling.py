"""HorizontalPodAutoscalers: compare usage with a target, set the size through `scale`.

Usage comes from the resource metrics API; a cluster without one says so in the conditions.
"""

from __future__ import annotations

from sampan.api import kinds, selectors
from sampan.api.errors import ApiError, Conflict, NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.api.selectors import Selector
from sampan.controllers import autoscaling_rules as rules
from sampan.controllers import conditions
from sampan.controllers.autoscaling_metrics import Metrics, NoMetric, named, proposed
from sampan.controllers.deps import Deps
from sampan.controllers.discovery import discover
from sampan.controllers.pods import is_active
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "horizontal-pod-autoscaler"
PERIOD_S = 15.0
FIRST_S = 2.0


def horizontalpodautoscaling(deps: Deps) -> Component:
    reconciler = Autoscalers(deps)
    waits = (reconciler.autoscalers, reconciler.pods)
    return Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)


class Autoscalers:
    """The reconciler."""

    name = "horizontalpodautoscaler"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._discovery = deps.client
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self._metrics = Metrics(self._client)
        self.autoscalers = deps.informers.of(kinds.HORIZONTALPODAUTOSCALERS)
        self.pods = deps.informers.of(
            kinds.PODS, indexers={"namespace": lambda pod: (pod["metadata"]["namespace"],)}
        )
        self._memory: dict[str, rules.Memory] = {}
        self._selectors: dict[Key, Selector] = {}
        """What each autoscaler's target selects."""
        self._rids: dict[tuple[str, str], ResourceId] = {}
        self.autoscalers.on_change(self._changed)

    async def reconcile(self, key: Key) -> float | None:
        found = self.autoscalers.get(key)
        if found is None:
            return None
        status = dict(found.get("status") or {})
        try:
            rid, scale = await self._scale(found)
        except (NotFound, NoMetric) as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._condition(status, "AbleToScale", "False", ("FailedGetScale", text))
            self._recorder.event(found, "Warning", "FailedGetScale", str(error))
            status.setdefault("desiredReplicas", 0)
            await self._tell(found, status)
            return PERIOD_S
        text = "the HPA controller was able to get the target's current scale"
        self._condition(status, "AbleToScale", "True", ("SucceededGetScale", text))
        await self._resize(found, status, rid, scale)
        await self._tell(found, status)
        return PERIOD_S

    async def _resize(self, found: Json, status: Json, rid: ResourceId, scale: Json) -> None:
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        status["currentReplicas"] = current
        status.setdefault("desiredReplicas", 0)
        least, most = int(found["spec"].get("minReplicas") or 1), int(found["spec"]["maxReplicas"])
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._condition(status, "ScalingActive", "False", ("ScalingDisabled", text))
            status["desiredReplicas"] = 0
            return
        if not least <= current <= most:
            # Whatever the metrics say.
            bound, size = ("above Spec.MaxReplicas", most) if current > most else (
                "below Spec.MinReplicas", least
            )  # fmt: skip
            why = f"Current number of replicas {bound}"
            await self._set(found, status, (rid, scale), (size, why))
            return
        if not self._selects(found, status, scale):
            return
        found_size = await self._wish(found, status, scale, current)
        if found_size is None:
            return
        wish, metric = found_size
        now, spec = self._clock.now(), found["spec"]
        memory = self._memory.setdefault(found["metadata"]["uid"], rules.Memory())
        memory.forget(now - 3600)
        steady = rules.stabilized(current, wish, memory, spec, now)
        memory.wishes.append((now, wish))
        text = "recommended size matches current size"
        self._condition(status, "AbleToScale", "True", ("ReadyForNewScale", text))
        limit = rules.limited(current, steady, memory, spec, now)
        truth = "True" if limit.cut else "False"
        self._condition(status, "ScalingLimited", truth, (limit.reason, limit.message))
        status["desiredReplicas"] = limit.replicas
        if limit.replicas != current:
            why = f"{metric} above target" if wish > current else "All metrics below target"
            if await self._set(found, status, (rid, scale), (limit.replicas, why)):
                memory.changes.append((now, limit.replicas - current))

    async def _set(
        self, found: Json, status: Json, target: tuple[ResourceId, Json], wish: tuple[int, str]
    ) -> bool:
        """Whether the target took the size."""
        (rid, scale), (size, why) = target, wish
        wished = {**scale, "spec": {**scale["spec"], "replicas": size}}
        try:
            await self._client.update(rid, wished, subresource="scale")
        except Conflict:
            raise  # it was changed this moment; it is asked anew
        except ApiError as error:
            text = f"New size: {size}; reason: {why}; error: {error}"
            self._recorder.event(found, "Warning", "FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._condition(status, "AbleToScale", "False", ("FailedUpdateScale", text))
            return False
        status["desiredReplicas"] = size
        text = "the HPA controller was able to update the target scale to "
        self._condition(status, "AbleToScale", "True", ("SucceededRescale", f"{text}{size}"))
        status["lastScaleTime"] = stamp(self._clock.now())
        text = f"New size: {size}; reason: {why}"
        self._recorder.event(found, "Normal", "SuccessfulRescale", text)
        return True

    # The pods.

    def _selects(self, found: Json, status: Json, scale: Json) -> bool:
        """Whether the target's pods are told, and this autoscaler's alone."""
        text = (scale.get("status") or {}).get("selector") or ""
        key = key_of(found)
        if not text:
            why, told = "selector is required", "the HPA target's scale is missing a selector"
            self._refuse(found, status, ("SelectorRequired", why), ("InvalidSelector", told))
            return False
        self._selectors[key] = selectors.parse(text)
        pods = self._pods(found, scale)
        rivals = sorted(
            other
            for other, selector in self._selectors.items()
            if other.namespace == key.namespace
            and any(selector.matches(pod["metadata"].get("labels")) for pod in pods)
        )
        if len(rivals) < 2:
            return True
        listed = " ".join(f"{{{rival.name} {rival.namespace}}}" for rival in rivals)
        why = f"pods by selector {text} are controlled by multiple HPAs: [{listed}]"
        self._refuse(found, status, ("AmbiguousSelector", why), ("AmbiguousSelector", why))
        return False

    def _refuse(
        self, found: Json, status: Json, event: tuple[str, str], condition: tuple[str, str]
    ) -> None:
        self._recorder.event(found, "Warning", *event)
        self._condition(status, "ScalingActive", "False", condition)
        status.pop("currentMetrics", None)
        self._recorder.event(found, "Warning", "FailedComputeMetricsReplicas", event[1])

    # Metrics.

    async def _wish(
        self, found: Json, status: Json, scale: Json, current: int
    ) -> tuple[int, str] | None:
        """The largest size that a metric asks for, and which; None where none can be had."""
        wishes: list[tuple[int, str]] = []
        shown: list[Json] = []
        problem: tuple[NoMetric, str] | None = None
        metrics = found["spec"].get("metrics") or []
        pods = self._pods(found, scale)
        for metric in metrics:
            try:
                wish, current_metric = await self._metrics.ask(
                    key_of(found).namespace, metric, pods
                )
                wishes.append((wish, proposed(metric)))
                shown.append(current_metric)
            except NoMetric as error:
                problem = problem or (error, named(metric))
                shown.append({"type": ""})
        status["currentMetrics"] = shown
        most = max(wishes, key=lambda item: item[0], default=None)
        if problem is not None and (most is None or most[0] < current):
            self._tell_no_metric(found, status, problem, (len(metrics) - len(wishes), len(metrics)))
            return None
        if most is None:
            return None
        text = f"the HPA was able to successfully calculate a replica count from {most[1]}"
        self._condition(status, "ScalingActive", "True", ("ValidMetricFound", text))
        return most

    def _tell_no_metric(
        self, found: Json, status: Json, problem: tuple[NoMetric, str], counts: tuple[int, int]
    ) -> None:
        error, name = problem
        text = f"the HPA was unable to compute the replica count: {error}"
        self._condition(status, "ScalingActive", "False", (error.reason, text))
        self._recorder.event(found, "Warning", error.reason, str(error))
        bad, of = counts
        text = (
            f"invalid metrics ({bad} invalid out of {of}), first error is: failed to get {name} "
            f"metric value: {error}"
        )
        self._recorder.event(found, "Warning", "FailedComputeMetricsReplicas", text)

    # The target.

    async def _scale(self, found: Json) -> tuple[ResourceId, Json]:
        """Raises NotFound, NoMetric."""
        reference = found["spec"]["scaleTargetRef"]
        which = (reference.get("apiVersion") or "v1", reference["kind"])
        if which not in self._rids:
            for one in await discover(self._discovery):
                self._rids[one.rid.api_version, one.rid.kind] = one.rid
        rid = self._rids.get(which)
        if rid is None:
            text = f'no matches for kind "{which[1]}" in group "{which[0].partition("/")[0]}"'
            raise NoMetric("FailedGetScale", text)
        namespace = found["metadata"]["namespace"]
        return rid, await self._client.get(rid, reference["name"], namespace, subresource="scale")

    def _pods(self, found: Json, scale: Json) -> list[Json]:
        text = (scale.get("status") or {}).get("selector") or ""
        selector = selectors.parse(text)
        namespace = found["metadata"]["namespace"]
        return [
            pod
            for pod in self.pods.by("namespace", namespace)
            if is_active(pod) and selector.matches(pod["metadata"].get("labels"))
        ]

    # The status.

    def _condition(self, status: Json, kind: str, truth: str, told: tuple[str, str]) -> None:
        reason, message = told
        known = status.get("conditions") or []
        old = conditions.find(known, kind)
        since = stamp(self._clock.now())
        if old is not None and old.get("status") == truth:
            since = old.get("lastTransitionTime", since)
        fresh = {"type": kind, "status": truth, "reason": reason, "message": message,
                 "lastTransitionTime": since}  # fmt: skip
        status["conditions"] = [*conditions.without(known, kind), fresh]

    async def _tell(self, found: Json, status: Json) -> None:
        status["conditions"] = sorted(status["conditions"], key=lambda item: str(item["type"]))
        if status == (found.get("status") or {}):
            return
        try:
            wished = {**found, "status": status}
            await self._client.update(kinds.HORIZONTALPODAUTOSCALERS, wished, subresource="status")
        except NotFound:
            return
        except ApiError as error:
            self._recorder.event(found, "Warning", "FailedUpdateStatus", str(error))
            raise

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self._memory.pop((old or {})["metadata"]["uid"], None)
            self._selectors.pop(key_of(old or {}), None)
        elif old is None or old["spec"] != new["spec"]:
            # A new one waits a little: its target's pods have no figures yet either.
            self.queue.add_after(key_of(new), FIRST_S)
