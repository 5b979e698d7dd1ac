"""The LimitRange: what one container, pod or claim of a namespace may ask for."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sampan.api import kinds, names, quantity
from sampan.api.meta import Json
from sampan.api.quantity import Quantity
from sampan.api.resource import Resource
from sampan.resources import cells, resource_names
from sampan.resources.rules import Errors, duplicate, each, forbidden, invalid, required

TYPES = ("Container", "PersistentVolumeClaim", "Pod")
BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def defaults(limits: Json) -> None:
    for item in (limits.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            limit = {**(item.get("max") or {}), **(item.get("default") or {})}
            request = {**(item.get("min") or {}), **limit, **(item.get("defaultRequest") or {})}
            for field, amounts in (("default", limit), ("defaultRequest", request)):
                if amounts:
                    item[field] = amounts


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """One without a name gets one."""
    meta = new["metadata"]
    if old is None and not meta.get("name"):
        meta["name"] = str(uuid.uuid4())


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, item in enumerate((new.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{at}]", item.get("type") or ""
        errors += _type(f"{path}.type", kind)
        if kind in seen:
            errors += duplicate(f"{path}.type", kind)
        seen.add(kind)
        errors += _names(path, kind, item)
        if kind == "PersistentVolumeClaim" and not _has_storage(item):
            says = "either minimum or maximum storage value is required, but neither was provided"
            errors += required(f"{path}.limits", says)
        fields = BOUNDS if kind != "Pod" else ("max", "min", "maxLimitRequestRatio")
        for name in sorted({name for field in fields for name in item.get(field) or ()}):
            bounds = {
                f: quantity.parse(item[f][name]) for f in fields if name in (item.get(f) or {})
            }
            errors += _order(path, name, bounds)
    return errors


def _type(path: str, kind: str) -> Errors:
    errors = each(path, kind, names.qualified_name(kind))
    if not errors and "/" not in kind and kind not in TYPES:
        errors += invalid(path, kind, "must be a standard limit type or fully qualified")
    return errors


def _names(path: str, kind: str, item: Json) -> Errors:
    rule = resource_names.valid_name
    if kind in ("Container", "Pod"):
        rule = resource_names.container_name
    errors: Errors = []
    for field in BOUNDS:
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if item.get(field):
                says = "may not be specified when `type` is 'Pod'"
                errors += forbidden(f"{path}.{field}", says)
            continue
        for name in item.get(field) or ():
            errors += rule(f"{path}.{field}[{name}]", name)
    return errors


def _has_storage(item: Json) -> bool:
    return any("storage" in (item.get(field) or {}) for field in ("min", "max"))


_PAIRS = (
    ("min", "max", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default", "default value {} is greater than max value {}"),
)  # fmt: skip
"""(what must not be greater, than what, the field that is blamed, the words)."""
_SHOWN = {("min", "default"): "min", ("default", "max"): "max"}
"""Where upstream shows another value than that of the blamed field."""


def _order(path: str, name: str, bounds: Mapping[str, Quantity]) -> Errors:
    errors: Errors = []
    for low, high, field, text in _PAIRS:
        if low in bounds and high in bounds and bounds[low] > bounds[high]:
            shown = str(bounds[_SHOWN.get((low, high), field)])
            says = text.format(bounds[low], bounds[high])
            errors += invalid(f"{path}.{field}[{name}]", shown, says)
    errors += _ratio(f"{path}.maxLimitRequestRatio[{name}]", bounds)
    limit, request = bounds.get("default"), bounds.get("defaultRequest")
    exact = not resource_names.may_overcommit(name)
    if exact and limit is not None and request is not None and limit != request:
        says = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        errors += invalid(f"{path}.defaultRequest[{name}]", str(request), says)
    return errors


def _ratio(path: str, bounds: Mapping[str, Quantity]) -> Errors:
    ratio = bounds.get("maxLimitRequestRatio")
    if ratio is None:
        return []
    errors: Errors = []
    if ratio < quantity.parse("1"):
        errors += invalid(path, str(ratio), f"ratio {ratio} is less than 1")
    low, high = bounds.get("min"), bounds.get("max")
    if low and high and ratio.nanos / quantity.NANO > high.nanos / low.nanos:
        most = f"{high.nanos / low.nanos:f}"
        errors += invalid(path, str(ratio), f"ratio {ratio} is greater than max/min = {most}")
    return errors


LIMITRANGE = Resource(
    id=kinds.LIMITRANGES,
    schema="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    metadata_checks="whole",
    short=("limits",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    columns=(cells.NAME, cells.CREATED_AT),
    generation=False,
    create_on_update=True,
)
