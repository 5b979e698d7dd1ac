"""Deployment: replicas of a pod template, rolled out step by step through ReplicaSets."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.apps import workload
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    pods.default_template(spec.setdefault("template", {}))


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new, old)
    errors = _spec(new["spec"], old["spec"] if old else None)
    if old is not None:
        wanted = new["spec"].get("selector")
        errors += rules.immutable("spec.selector", wanted, old["spec"].get("selector"))
    return errors


def _spec(spec: Json, old: Json | None) -> Errors:
    wanted, template = spec.get("selector"), spec.get("template") or {}
    errors = rules.nonnegative("spec.replicas", spec.get("replicas"))
    errors += workload.selector("spec.selector", wanted, "deployment")
    errors += workload.selects_template("spec.template", wanted, template)
    before = old.get("template") if old else None
    if workload.selects(wanted):
        errors += workload.template("spec.template", template, before, "ReplicaSet")
    errors += _strategy(spec.get("strategy") or {})
    errors += rules.all_nonnegative("spec", spec, ("minReadySeconds", "revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    errors += rules.nonnegative("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        says = "must be greater than minReadySeconds"
        errors += rules.invalid("spec.progressDeadlineSeconds", deadline, says)
    return errors


def _strategy(strategy: Json) -> Errors:
    path, kind, rolling = "spec.strategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return rules.forbidden(f"{path}.rollingUpdate", detail) if rolling is not None else []
    if kind != "RollingUpdate":
        value = {"Type": kind, "RollingUpdate": rolling}
        return rules.not_supported(path, value, ["Recreate", "RollingUpdate"])
    return _rolling(f"{path}.rollingUpdate", rolling or {})


def _rolling(path: str, rolling: Json) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = rules.int_or_percent(f"{path}.maxUnavailable", unavailable)
    errors += rules.int_or_percent(f"{path}.maxSurge", surge)
    if not rules.int_or_percent_value(unavailable) and not rules.int_or_percent_value(surge):
        says = "may not be 0 when `maxSurge` is 0"
        errors += rules.invalid(f"{path}.maxUnavailable", unavailable, says)
    return errors + rules.not_above_100_percent(f"{path}.maxUnavailable", unavailable)


def _status(new: Json, old: Json | None) -> Errors:
    status = new.get("status") or {}
    fields = ("updatedReplicas", "readyReplicas", "availableReplicas")
    extra = ("observedGeneration", "unavailableReplicas", "terminatingReplicas", "collisionCount")
    errors = workload.counters(status, fields, extra)
    errors += rules.at_most(
        "status", status, ("availableReplicas",), "readyReplicas", "readyReplicas"
    )
    collisions = ((old or {}).get("status") or {}).get("collisionCount")
    now = status.get("collisionCount")
    return errors + rules.not_decremented("status.collisionCount", now, collisions)


def _ready(obj: Json) -> str:
    return f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"


DEPLOYMENT = Resource(
    id=kinds.DEPLOYMENTS,
    schema="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    generation_metadata=("annotations",),
    metadata_checks="changes",
    status_keeps=("labels",),
    short=("deploy",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    warnings=workload.warnings,
    columns=(
        cells.NAME,
        cells.column("Ready", _ready),
        workload.number("Up-to-date", "status", "updatedReplicas", "string"),
        workload.number("Available", "status", "availableReplicas", "string"),
        cells.AGE,
        workload.CONTAINERS,
        workload.IMAGES,
        workload.SELECTOR,
    ),
    subresources=(workload.SCALE, workload.status_of(kinds.DEPLOYMENTS)),
)
