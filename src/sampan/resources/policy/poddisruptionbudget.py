"""PodDisruptionBudget: how many pods of a group may be evicted at once."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

_COUNTERS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def defaults(obj: Json) -> None:
    status = obj.setdefault("status", {})
    for counter in _COUNTERS:
        status.setdefault(counter, 0)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new.get("status") or {})
    spec = new.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    errors: Errors = []
    if least is not None and most is not None:
        says = "minAvailable and maxUnavailable cannot be both set"
        errors += rules.invalid("spec", _as_go(spec), says)
    for path, value in (("spec.minAvailable", least), ("spec.maxUnavailable", most)):
        errors += rules.int_or_percent(path, value)
        errors += rules.not_above_100_percent(path, value)
    errors += rules.label_selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        path = "spec.unhealthyPodEvictionPolicy"
        errors += rules.not_supported(path, policy, ["AlwaysAllow", "IfHealthyBudget"])
    return errors


def _as_go(spec: Json) -> Json:
    names = {
        "minAvailable": "MinAvailable", "selector": "Selector", "maxUnavailable": "MaxUnavailable",
        "unhealthyPodEvictionPolicy": "UnhealthyPodEvictionPolicy",
    }  # fmt: skip
    return {shown: spec.get(name) for name, shown in names.items()}


def _status(status: Json) -> Errors:
    errors: Errors = []
    for at, condition in enumerate(status.get("conditions") or ()):
        errors += _condition(f"status.conditions[{at}]", condition)
    # Upstream's path for the first counter is its Go name.
    errors += rules.nonnegative("status.podDisruptionsAllowed", status.get("disruptionsAllowed"))
    return errors + rules.all_nonnegative("status", status, _COUNTERS[1:])


def _condition(path: str, condition: Json) -> Errors:
    errors: Errors = []
    for field in ("type", "status", "lastTransitionTime", "reason"):
        if not condition.get(field):
            errors += rules.required(f"{path}.{field}")
    return errors


def _or_na(field: str) -> cells.Value:
    return cells.field("spec", field, default="N/A")


PODDISRUPTIONBUDGET = Resource(
    id=kinds.PODDISRUPTIONBUDGETS,
    schema="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    metadata_checks="none",
    status_metadata_checks="none",
    short=("pdb",),
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Min Available", lambda obj: str(_or_na("minAvailable")(obj))),
        cells.column("Max Unavailable", lambda obj: str(_or_na("maxUnavailable")(obj))),
        cells.column(
            "Allowed Disruptions",
            cells.field("status", "disruptionsAllowed", default=0),
            type="integer",
        ),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.PODDISRUPTIONBUDGETS),),
    unconditional_update=False,
    name_rule=names.name_is_path_segment,
    free_finalizers=True,
)
