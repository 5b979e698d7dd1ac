"""HorizontalPodAutoscalers: compare usage with a target, set the size through `scale`.

Usage comes from the resource metrics API; a cluster without one says so in the conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import orjson

from sampan.api import kinds, selectors
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.api.quantity import Quantity, parse_json
from sampan.client.transport import Request
from sampan.controllers import autoscaling_rules as rules
from sampan.controllers import conditions
from sampan.controllers.deps import Deps
from sampan.controllers.discovery import discover
from sampan.controllers.pods import is_active, is_ready
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "horizontal-pod-autoscaler"
PERIOD_S = 15.0
FIRST_S = 2.0
METRICS = "/apis/metrics.k8s.io/v1beta1"


class NoMetric(Exception):
    """A metric could not be had; `reason` is the condition's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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
        self.autoscalers = deps.informers.of(kinds.HORIZONTALPODAUTOSCALERS)
        self.pods = deps.informers.of(
            kinds.PODS, indexers={"namespace": lambda pod: (pod["metadata"]["namespace"],)}
        )
        self._memory: dict[str, rules.Memory] = {}
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
        status["currentReplicas"] = int((scale.get("status") or {}).get("replicas") or 0)
        status.setdefault("desiredReplicas", 0)
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._condition(status, "ScalingActive", "False", ("ScalingDisabled", text))
            status["desiredReplicas"] = 0
            return
        wish = await self._wish(found, status, scale, current)
        if wish is None:
            return
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
            await self._set(found, status, (rid, scale), limit.replicas)
            memory.changes.append((now, limit.replicas - current))

    async def _set(
        self, found: Json, status: Json, target: tuple[ResourceId, Json], size: int
    ) -> None:
        rid, scale = target
        wished = {**scale, "spec": {**scale["spec"], "replicas": size}}
        await self._client.update(rid, wished, subresource="scale")
        text = "the HPA controller was able to update the target scale to "
        self._condition(status, "AbleToScale", "True", ("SucceededRescale", f"{text}{size}"))
        status["lastScaleTime"] = stamp(self._clock.now())
        way = "above" if size > int(scale["spec"]["replicas"]) else "below"
        text = f"New size: {size}; reason: resource utilization {way} target"
        self._recorder.event(found, "Normal", "SuccessfulRescale", text)

    # Metrics.

    async def _wish(self, found: Json, status: Json, scale: Json, current: int) -> int | None:
        """The largest size that any metric asks for; None where none can be had."""
        wishes: list[int] = []
        shown: list[Json] = []
        problem: tuple[NoMetric, str] | None = None
        metrics = found["spec"].get("metrics") or []
        pods = self._pods(found, scale)
        for metric in metrics:
            try:
                wish, current_metric = await self._metric(key_of(found).namespace, metric, pods)
                wishes.append(wish)
                shown.append(current_metric)
            except NoMetric as error:
                problem = problem or (error, _named(metric))
                shown.append({"type": ""})
        status["currentMetrics"] = shown
        if problem is not None and (not wishes or max(wishes) < current):
            self._tell_no_metric(found, status, problem, (len(metrics) - len(wishes), len(metrics)))
            return None
        if not wishes:
            return None
        name = _named(metrics[0])
        text = f"the HPA was able to successfully calculate a replica count from {name}"
        self._condition(status, "ScalingActive", "True", ("ValidMetricFound", text))
        return max(wishes)

    def _tell_no_metric(
        self, found: Json, status: Json, problem: tuple[NoMetric, str], counts: tuple[int, int]
    ) -> None:
        error, named = problem
        text = f"the HPA was unable to compute the replica count: {error}"
        self._condition(status, "ScalingActive", "False", (error.reason, text))
        self._recorder.event(found, "Warning", error.reason, str(error))
        bad, of = counts
        text = (
            f"invalid metrics ({bad} invalid out of {of}), first error is: failed to get {named} "
            f"metric value: {error}"
        )
        self._recorder.event(found, "Warning", "FailedComputeMetricsReplicas", text)

    async def _metric(self, namespace: str, metric: Json, pods: Sequence[Json]) -> tuple[int, Json]:
        kind = metric["type"]
        field = kind[0].lower() + kind[1:]
        source = metric.get(field) or {}
        if kind not in ("Resource", "ContainerResource"):
            why = "no custom metrics API is registered"
            raise NoMetric(f"FailedGet{kind}Metric", f"unable to get {field} metric: {why}")
        target, name = source["target"], source["name"]
        usage = await self._usage(namespace, source, pods)
        ready = [pod for pod in pods if is_ready(pod) and pod["metadata"]["name"] in usage]
        if not ready:
            raise NoMetric(_GET_FAILED, f"did not receive metrics for {name} of any ready pod")
        total = sum(usage[pod["metadata"]["name"]] for pod in ready)
        average = total / len(ready)
        now: Json = {"averageValue": str(Quantity(round(average)))}
        if target["type"] == "Utilization":
            asked = sum(_requested(pod, source) for pod in ready)
            now["averageUtilization"] = int(total * 100 / asked)
            ratio = total * 100 / asked / float(target["averageUtilization"])
        else:
            ratio = average / parse_json(target["averageValue"]).nanos
        shown = {"name": name, "current": now}
        if source.get("container"):
            shown["container"] = source["container"]
        return rules.by_ratio(ratio, len(ready)), {"type": kind, field: shown}

    async def _usage(self, namespace: str, source: Json, pods: Sequence[Json]) -> dict[str, int]:
        """Nanos of the resource, by pod. Raises NoMetric."""
        name = source["name"]
        prefix = f"unable to get metrics for resource {name}: "
        if source["target"]["type"] == "Utilization":
            prefix = f"failed to get {name} utilization: {prefix}"
        request = Request("GET", f"{METRICS}/namespaces/{quote(namespace)}/pods")
        response = await self._client.raw(request)
        body = await response.read()
        if response.status != 200:
            why = "the server could not find the requested resource (get pods.metrics.k8s.io)"
            if response.status != 404:
                why = f"HTTP {response.status}"
            text = f"{prefix}unable to fetch metrics from resource metrics API: {why}"
            raise NoMetric(_GET_FAILED, text)
        wanted = {pod["metadata"]["name"] for pod in pods}
        found: dict[str, int] = {}
        for item in orjson.loads(body).get("items") or ():
            if item["metadata"]["name"] in wanted:
                found[item["metadata"]["name"]] = sum(
                    parse_json(container["usage"].get(name, "0")).nanos
                    for container in item.get("containers") or ()
                    if source.get("container") in (None, container["name"])
                )
        if not found:
            text = f"{prefix}no metrics returned from resource metrics API"
            raise NoMetric(_GET_FAILED, text)
        return found

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
        elif old is None or old["spec"] != new["spec"]:
            # A new one waits a little: its target's pods have no figures yet either.
            self.queue.add_after(key_of(new), FIRST_S)


_GET_FAILED = "FailedGetResourceMetric"


def _named(metric: Json) -> str:
    """`cpu resource` and the like, for messages."""
    kind = metric["type"]
    source = metric.get(kind[0].lower() + kind[1:]) or {}
    word = {"Resource": "resource", "ContainerResource": "container resource"}.get(kind, kind)
    return f"{source.get('name', '')} {word}".strip()


def _requested(pod: Json, source: Json) -> int:
    """What the pod's containers ask for, in nanos. Raises NoMetric."""
    total = 0
    for container in pod["spec"]["containers"]:
        if source.get("container") not in (None, container["name"]):
            continue
        asked = ((container.get("resources") or {}).get("requests") or {}).get(source["name"])
        if asked is None:
            where = f"{container['name']} of Pod {pod['metadata']['name']}"
            text = f"missing request for {source['name']} in container {where}"
            raise NoMetric(_GET_FAILED, f"failed to get {source['name']} utilization: {text}")
        total += parse_json(asked).nanos
    return total
