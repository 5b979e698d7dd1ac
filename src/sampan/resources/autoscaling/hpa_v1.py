"""HorizontalPodAutoscaler of autoscaling/v1: CPU only; whatever v2 knows more travels in
annotations, so that nothing is lost on the way there and back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource, Subresource
from sampan.resources.autoscaling import hpa
from sampan.resources.rules import Errors

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"

_Renames = tuple[tuple[str, str], ...]
_TARGETS: dict[str, _Renames] = {
    "resource": (
        ("targetAverageUtilization", "averageUtilization"), ("targetAverageValue", "averageValue"),
    ),
    "containerResource": (
        ("targetAverageUtilization", "averageUtilization"), ("targetAverageValue", "averageValue"),
    ),
    "pods": (("targetAverageValue", "averageValue"),),
    "object": (("targetValue", "value"), ("averageValue", "averageValue")),
    "external": (("targetValue", "value"), ("targetAverageValue", "averageValue")),
}  # fmt: skip
_NOW: dict[str, _Renames] = {
    "resource": (
        ("currentAverageUtilization", "averageUtilization"),
        ("currentAverageValue", "averageValue"),
    ),
    "containerResource": (
        ("currentAverageUtilization", "averageUtilization"),
        ("currentAverageValue", "averageValue"),
    ),
    "pods": (("currentAverageValue", "averageValue"),),
    "object": (("currentValue", "value"), ("averageValue", "averageValue")),
    "external": (("currentValue", "value"), ("currentAverageValue", "averageValue")),
}
"""The flat names of v1 and the nested ones of v2, by kind of metric."""


def to_storage(obj: Json) -> Json:
    """v1 to v2."""
    spec = dict(obj.get("spec") or {})
    status = dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    noted = dict(meta.get("annotations") or {})
    metrics = [_to_v2(each, _TARGETS, "target") for each in _taken(noted, METRICS, [])]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        metrics.insert(0, hpa.usual_metric(percent))
    spec["metrics"] = metrics or [hpa.usual_metric()]
    behavior = _taken(noted, BEHAVIOR, None)
    if behavior is not None:
        spec["behavior"] = behavior
    current = [_to_v2(each, _NOW, "current") for each in _taken(noted, CURRENT, [])]
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None and not _cpu(current, "current")[0]:
        now = {"name": "cpu", "current": {"averageUtilization": used}}
        current.insert(0, {"type": "Resource", "resource": now})
    status["currentMetrics"] = current or None
    conditions = _taken(noted, CONDITIONS, None)
    if conditions is not None:
        status["conditions"] = conditions
    return _whole(obj, "autoscaling/v2", _noted(meta, noted), spec, status)


def from_storage(obj: Json) -> Json:
    """v2 to v1."""
    spec = dict(obj.get("spec") or {})
    status = dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    noted = dict(meta.get("annotations") or {})
    percent, others = _cpu(spec.pop("metrics", None) or [], "target")
    if percent is not None:
        spec["targetCPUUtilizationPercentage"] = percent
    _note(noted, METRICS, [_to_v1(each, _TARGETS, "target") for each in others])
    _note(noted, BEHAVIOR, spec.pop("behavior", None))
    current = status.pop("currentMetrics", None) or []
    used, _ = _cpu(current, "current")
    if used is not None:
        status["currentCPUUtilizationPercentage"] = used
    _note(noted, CURRENT, [_to_v1(each, _NOW, "current") for each in current])
    _note(noted, CONDITIONS, status.pop("conditions", None))
    status.setdefault("currentReplicas", 0)
    return _whole(obj, "autoscaling/v1", _noted(meta, noted), spec, status)


def _whole(obj: Json, version: str, meta: Json, spec: Json, status: Json) -> Json:
    return obj | {"apiVersion": version, "metadata": meta, "spec": spec, "status": status}


def _noted(meta: Json, annotations: Json) -> Json:
    rest = {key: value for key, value in meta.items() if key != "annotations"}
    return rest | {"annotations": annotations} if annotations else rest


def _taken(annotations: Json, key: str, otherwise: Any) -> Any:
    """What an annotation holds, taken out; one that is no JSON holds nothing."""
    try:
        return json.loads(annotations.pop(key))
    except (KeyError, ValueError):
        return otherwise


def _note(annotations: Json, key: str, value: Any) -> None:
    if value:
        annotations[key] = json.dumps(value, separators=(",", ":"))


def _cpu(metrics: list[Json], part: str) -> tuple[int | None, list[Json]]:
    """The CPU percentage that v1 has a field for, and all other metrics."""
    for at, metric in enumerate(metrics):
        resource = metric.get("resource") or {}
        percent = (resource.get(part) or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent:
            return percent, metrics[:at] + metrics[at + 1 :]
    return None, metrics


def _to_v2(metric: Json, renames: dict[str, _Renames], part: str) -> Json:
    new: Json = {"type": metric.get("type", "")}
    for field, pairs in renames.items():
        flat = metric.get(field)
        if flat is None:
            continue
        nested = {v2: flat[v1] for v1, v2 in pairs if flat.get(v1) is not None}
        if part == "target":
            types = {"averageUtilization": "Utilization", "averageValue": "AverageValue"}
            nested = {"type": next((types.get(name, "Value") for name in nested), "")} | nested
        source = {name: flat[name] for name in ("name", "container") if name in flat}
        if "metricName" in flat:
            selector = flat.get("metricSelector") or flat.get("selector")
            source["metric"] = {"name": flat["metricName"]} | (
                {"selector": selector} if selector else {}
            )
        if "target" in flat:
            source["describedObject"] = flat["target"]
        new[field] = source | {part: nested}
    return new


def _to_v1(metric: Json, renames: dict[str, _Renames], part: str) -> Json:
    new: Json = {"type": metric.get("type", "")}
    for field, pairs in renames.items():
        source = metric.get(field)
        if source is None:
            continue
        flat = {name: source[name] for name in ("name", "container") if name in source}
        if "describedObject" in source:
            flat["target"] = source["describedObject"]
        if "metric" in source:
            flat["metricName"] = source["metric"].get("name", "")
            selector = "metricSelector" if field == "external" else "selector"
            if source["metric"].get("selector"):
                flat[selector] = source["metric"]["selector"]
        nested = source.get(part) or {}
        flat |= {v1: nested[v2] for v1, v2 in pairs if nested.get(v2) is not None}
        new[field] = flat
    return new


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if METRICS not in (obj["metadata"].get("annotations") or {}):
        spec.setdefault("targetCPUUtilizationPercentage", hpa.CPU_AT_80_PERCENT)
    status = obj.setdefault("status", {})
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    return hpa.validate(to_storage(new), to_storage(old) if old else None, subresource)


def _column(column: Column) -> Column:
    cell: Callable[[Json, float], Any] = column.cell
    return replace(column, cell=lambda obj, now: cell(to_storage(obj), now))


HORIZONTALPODAUTOSCALER_V1 = Resource(
    id=kinds.HORIZONTALPODAUTOSCALERS_V1,
    schema="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    metadata_checks="changes",
    short=("hpa",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    columns=tuple(_column(column) for column in hpa.COLUMNS),
    subresources=(Subresource("status", kinds.HORIZONTALPODAUTOSCALERS_V1),),
    generation=False,
    storage=kinds.HORIZONTALPODAUTOSCALERS,
    to_storage=to_storage,
    from_storage=from_storage,
)
