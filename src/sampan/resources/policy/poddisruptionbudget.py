"""PodDisruptionBudget: how many pods of a group may be evicted at once."""

from __future__ import annotations

import re

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

_STATUSES = ("False", "True", "Unknown")
_REASON = r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
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
    errors, seen = rules.none(), set[str]()
    for at, condition in enumerate(status.get("conditions") or ()):
        path, kind = f"status.conditions[{at}]", condition.get("type") or ""
        if kind in seen:
            errors += rules.duplicate(f"{path}.type", kind)
        seen.add(kind)
        errors += _condition(path, condition)
    return errors + rules.all_nonnegative("status", status, _COUNTERS)


def _condition(path: str, condition: Json) -> Errors:
    """metav1.Condition."""
    kind, reason = condition.get("type") or "", condition.get("reason") or ""
    errors = rules.each(f"{path}.type", kind, names.qualified_name(kind))
    errors += rules.choice(f"{path}.status", condition.get("status") or "", _STATUSES)
    seen = condition.get("observedGeneration") or 0
    if seen < 0:
        says = "must be greater than or equal to zero"
        errors += rules.invalid(f"{path}.observedGeneration", seen, says)
    if not condition.get("lastTransitionTime"):
        errors += rules.required(f"{path}.lastTransitionTime")
    if not reason:
        errors += rules.required(f"{path}.reason")
    elif not re.fullmatch(_REASON, reason):
        says = (
            "a condition reason must start with alphabetic character, optionally followed by a "
            "string of alphanumeric characters or '_,:', and must end with an alphanumeric "
            "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',"
            f"  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
        )
        errors += rules.invalid(f"{path}.reason", reason, says)
    for field, most in (("reason", 1024), ("message", 32 * 1024)):
        if len(condition.get(field) or "") > most:
            errors += rules.too_long(f"{path}.{field}", most)
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
