"""HorizontalPodAutoscaler (v2): how many replicas a workload should have, by metrics."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.autoscaling import behavior, metrics
from sampan.resources.rules import Errors

CPU_AT_80_PERCENT = 80


def usual_metric(percent: int = CPU_AT_80_PERCENT) -> Json:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [usual_metric()]
    behavior.defaults(spec.get("behavior"))
    status = obj.setdefault("status", {})
    status.setdefault("desiredReplicas", 0)
    status.setdefault("currentMetrics", None)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        counters = ("currentReplicas", "desiredReplicas")
        return rules.all_nonnegative("status", new.get("status") or {}, counters)
    spec = new["spec"]
    zero_before = old is not None and old["spec"].get("minReplicas") == 0
    bound = 0 if zero_before else 1
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    errors: Errors = []
    if least is not None and least < bound:
        says = f"must be greater than or equal to {bound}"
        errors += rules.invalid("spec.minReplicas", least, says)
    if most == 0:
        errors += rules.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        says = "must be greater than or equal to 1"
        errors += rules.invalid("spec.maxReplicas", most, says)
    if least is not None and most < least:
        says = "must be greater than or equal to `minReplicas`"
        errors += rules.invalid("spec.maxReplicas", most, says)
    target, before = (each.get("scaleTargetRef") or {} for each in (spec, (old or new)["spec"]))
    errors += metrics.object_reference(target, "spec.scaleTargetRef")
    if old is None or not metrics.version_fault(before, needs_group=True):
        errors += metrics.api_version(target, "spec.scaleTargetRef", needs_group=True)
    errors += metrics.validate(spec.get("metrics") or [], "spec.metrics", least)
    return errors + behavior.validate(spec.get("behavior"), "spec.behavior")


def _reference(obj: Json) -> str:
    target = obj["spec"].get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _targets(obj: Json) -> str:
    current = obj.get("status", {}).get("currentMetrics") or []
    return metrics.text(obj["spec"].get("metrics") or [], current)


COLUMNS = (
    cells.NAME,
    cells.column("Reference", _reference),
    cells.column("Targets", _targets),
    cells.column(
        "MinPods", lambda obj: str(cells.field("spec", "minReplicas", default=cells.UNSET)(obj))
    ),
    cells.column("MaxPods", cells.field("spec", "maxReplicas", default=0)),
    cells.column("Replicas", cells.field("status", "currentReplicas", default=0)),
    cells.AGE,
)

HORIZONTALPODAUTOSCALER = Resource(
    id=kinds.HORIZONTALPODAUTOSCALERS,
    schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    metadata_checks="changes",
    short=("hpa",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    columns=COLUMNS,
    subresources=(Subresource("status", kinds.HORIZONTALPODAUTOSCALERS),),
    generation=False,
)
