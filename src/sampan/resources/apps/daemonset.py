"""DaemonSet: one pod of a template on every node that fits."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, labels, rules
from sampan.resources.apps import workload
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors

GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
"""Where apps/v1 keeps the template generation of the old API."""

_COUNTERS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
)  # fmt: skip
_MORE_COUNTERS = (
    "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
    "collisionCount",
)  # fmt: skip


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    pods.default_template(spec.setdefault("template", {}))
    status = obj.setdefault("status", {})
    for counter in _COUNTERS:
        status.setdefault(counter, 0)


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """The template generation starts at 1 and grows with the template."""
    generation = 1
    if old is not None:
        generation = _generation(old)
        if not subresource and new["spec"].get("template") != old["spec"].get("template"):
            generation += 1
    annotations = new["metadata"].get("annotations") or {}
    new["metadata"]["annotations"] = annotations | {GENERATION_ANNOTATION: str(generation)}


def _generation(obj: Json) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION, "0")
    return int(text) if text.isdigit() else 0


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new, old)
    spec = new["spec"]
    wanted, template = spec.get("selector"), spec.get("template") or {}
    errors: Errors = []
    if old is not None:
        errors += rules.immutable("spec.selector", wanted, old["spec"].get("selector"))
    errors += rules.label_selector("spec.selector", wanted)
    errors += workload.selects_template("spec.template", wanted, template, None)
    if wanted is not None and rules.is_empty_selector(wanted):
        says = "empty selector is invalid for daemonset"
        errors += rules.invalid("spec.selector", wanted, says)
    before = old["spec"].get("template") if old else None
    errors += workload.template("spec.template", template, before, "DaemonSet")
    errors += rules.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += _strategy(spec.get("updateStrategy") or {})
    errors += rules.nonnegative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    return errors


def _strategy(strategy: Json) -> Errors:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        value = {"Type": kind, "RollingUpdate": rolling}
        return rules.not_supported(path, value, ["RollingUpdate", "OnDelete"])
    return _rolling(f"{path}.rollingUpdate", rolling or {})


def _rolling(path: str, rolling: Json) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = rules.int_or_percent(f"{path}.maxUnavailable", unavailable)
    errors += rules.int_or_percent(f"{path}.maxSurge", surge)
    errors += rules.not_above_100_percent(f"{path}.maxUnavailable", unavailable)
    errors += rules.not_above_100_percent(f"{path}.maxSurge", surge)
    has = (rules.int_or_percent_value(unavailable) != 0, rules.int_or_percent_value(surge) != 0)
    if has == (True, True):
        says = "may not be set when maxUnavailable is non-zero"
        errors += rules.invalid(f"{path}.maxSurge", surge, says)
    if has == (False, False):
        errors += rules.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    return errors


def _status(new: Json, old: Json | None) -> Errors:
    status = new.get("status") or {}
    errors = rules.all_nonnegative("status", status, _COUNTERS + _MORE_COUNTERS)
    before = ((old or {}).get("status") or {}).get("collisionCount")
    return errors + rules.not_decremented(
        "status.collisionCount", status.get("collisionCount"), before
    )


DAEMONSET = Resource(
    id=kinds.DAEMONSETS,
    schema="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    metadata_checks="changes",
    short=("ds",),
    categories=("all",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=workload.template_warnings,
    columns=(
        cells.NAME,
        workload.number("Desired", "status", "desiredNumberScheduled"),
        workload.number("Current", "status", "currentNumberScheduled"),
        workload.number("Ready", "status", "numberReady"),
        workload.number("Up-to-date", "status", "updatedNumberScheduled"),
        workload.number("Available", "status", "numberAvailable"),
        cells.column(
            "Node Selector", lambda obj: labels.set_text(workload.pod_spec(obj).get("nodeSelector"))
        ),
        cells.AGE,
        workload.CONTAINERS,
        workload.IMAGES,
        workload.SELECTOR,
    ),
    subresources=(workload.status_of(kinds.DAEMONSETS),),
)
