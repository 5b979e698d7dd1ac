"""What pods use, from the resource metrics API, and the size that a metric asks for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import orjson

from sampan.api.meta import Json
from sampan.api.quantity import Quantity, parse_json
from sampan.client.client import Client
from sampan.client.transport import Request
from sampan.controllers import autoscaling_rules as rules
from sampan.controllers.pods import is_ready

METRICS = "/apis/metrics.k8s.io/v1beta1"


class NoMetric(Exception):
    """A metric could not be had; `reason` is the condition's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Metrics:
    """Asks the metrics API in the name of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, namespace: str, metric: Json, pods: Sequence[Json]) -> tuple[int, Json]:
        """The size that the metric asks for, and how it is shown. Raises NoMetric."""
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


_GET_FAILED = "FailedGetResourceMetric"


def named(metric: Json) -> str:
    """`cpu resource` and the like, for messages."""
    kind = metric["type"]
    source = metric.get(kind[0].lower() + kind[1:]) or {}
    word = {"Resource": "resource", "ContainerResource": "container resource"}.get(kind, kind)
    return f"{source.get('name', '')} {word}".strip()


def proposed(metric: Json) -> str:
    """How a metric is named as the reason for a size."""
    kind = metric["type"]
    source = metric.get(kind[0].lower() + kind[1:]) or {}
    share = " utilization (percentage of request)"
    return named(metric) + (share if source.get("target", {}).get("type") == "Utilization" else "")


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
