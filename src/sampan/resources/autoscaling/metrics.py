"""What an autoscaler looks at: the rules of a metric, and how a table shows it."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import names, quantity
from sampan.api.meta import Json
from sampan.resources import cells, resource_names, rules
from sampan.resources.rules import Errors

FIELDS = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
"""Type to the field that goes with it, in the order in which they are looked at."""
_TARGETS = ("Utilization", "Value", "AverageValue")
SHOWN = 2


def validate(metrics: list[Json], path: str, least: int | None) -> Errors:
    errors: Errors = []
    for at, metric in enumerate(metrics):
        errors += _metric(metric, f"{path}[{at}]")
    if least == 0 and not any(each.get("type") in ("Object", "External") for each in metrics):
        detail = (
            "must specify at least one Object or External metric to support scaling "
            "to zero replicas"
        )
        errors += rules.forbidden(path, detail)
    return errors


def _metric(metric: Json, path: str) -> Errors:
    kind, errors = metric.get("type", ""), rules.none()
    if not kind:
        errors += rules.required(f"{path}.type", "must specify a metric source type")
    if kind not in FIELDS:
        errors += rules.not_supported(f"{path}.type", kind, sorted(FIELDS))
    present = [field for field in FIELDS.values() if metric.get(field) is not None]
    if present:
        errors += _SOURCES[present[0]](metric[present[0]], f"{path}.{present[0]}")
    expected = FIELDS.get(kind)
    if expected is None:
        errors += rules.not_supported(f"{path}.type", kind, sorted(FIELDS))
    elif expected not in present:
        detail = "must populate information for the given metric source"
        errors += rules.required(f"{path}.{expected}", detail)
    if len(present) != 1:
        for field in sorted(set(present) - {expected}):
            detail = "must populate the given metric source only"
            errors += rules.forbidden(f"{path}.{field}", detail)
    return errors


def object_reference(reference: Json, path: str) -> Errors:
    errors = rules.named(f"{path}.kind", reference.get("kind"), names.path_segment)
    return errors + rules.named(f"{path}.name", reference.get("name"), names.path_segment)


def api_version(reference: Json, path: str, *, needs_group: bool = False) -> Errors:
    fault = version_fault(reference, needs_group=needs_group)
    return rules.invalid(f"{path}.apiVersion", reference.get("apiVersion") or "", fault) * bool(
        fault
    )


def version_fault(reference: Json, *, needs_group: bool) -> str:
    text = reference.get("apiVersion") or ""
    if text.count("/") > 1:
        return f"unexpected GroupVersion string: {text}"
    if needs_group and not text.rpartition("/")[0]:
        return "apiVersion must specify API group"
    return ""


def _object(source: Json, path: str) -> Errors:
    target, described = source.get("target") or {}, source.get("describedObject") or {}
    errors = object_reference(described, f"{path}.describedObject")
    errors += api_version(described, f"{path}.describedObject")
    errors += _identifier(source, path) + _target(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        detail = "must set either a target value or averageValue"
        errors += rules.required(f"{path}.target.averageValue", detail)
    return errors


def _external(source: Json, path: str) -> Errors:
    target = source.get("target") or {}
    errors = _identifier(source, path) + _target(target, f"{path}.target")
    given = [target.get(field) is not None for field in ("value", "averageValue")]
    if not any(given):
        detail = "must set either a target value for metric or a per-pod target"
        errors += rules.required(f"{path}.target.averageValue", detail)
    if all(given):
        detail = "may not set both a target value for metric and a per-pod target"
        errors += rules.forbidden(f"{path}.target.value", detail)
    return errors


def _pods(source: Json, path: str) -> Errors:
    target = source.get("target") or {}
    errors = _identifier(source, path) + _target(target, f"{path}.target")
    if not _positive(target.get("averageValue")):
        detail = "must specify a positive target averageValue"
        errors += rules.required(f"{path}.target.averageValue", detail)
    return errors


def _resource(source: Json, path: str) -> Errors:
    errors: Errors = []
    if not source.get("name"):
        errors += rules.required(f"{path}.name", "must specify a resource name")
    return errors + _utilization(source, path)


def _container_resource(source: Json, path: str) -> Errors:
    errors: Errors = []
    name, container = source.get("name"), source.get("container")
    if name:
        errors += resource_names.container_name(f"{path}.name", name)
    else:
        errors += rules.required(f"{path}.name", "must specify a resource name")
    detail = "must specify a container"
    errors += rules.named(f"{path}.container", container, names.dns1123_label, detail)
    return errors + _utilization(source, path)


_SOURCES: dict[str, Callable[[Json, str], Errors]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _utilization(source: Json, path: str) -> Errors:
    target = source.get("target") or {}
    errors = _target(target, f"{path}.target")
    given = [target.get(field) is not None for field in ("averageUtilization", "averageValue")]
    if not any(given):
        detail = "must set either a target raw value or a target utilization"
        errors += rules.required(f"{path}.target.averageUtilization", detail)
    if all(given):
        detail = "may not set both a target raw value and a target utilization"
        errors += rules.forbidden(f"{path}.target.averageValue", detail)
    return errors


def _target(target: Json, path: str) -> Errors:
    kind, errors = target.get("type", ""), rules.none()
    if not kind:
        errors += rules.required(f"{path}.type", "must specify a metric target type")
    if kind not in _TARGETS:
        says = "must be either Utilization, Value, or AverageValue"
        errors += rules.invalid(f"{path}.type", kind, says)
    for field in ("value", "averageValue"):
        amount = target.get(field)
        if amount is not None and not _positive(amount):
            errors += rules.invalid(f"{path}.{field}", amount, "must be positive")
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        errors += rules.invalid(f"{path}.averageUtilization", percent, "must be greater than 0")
    return errors


def _identifier(source: Json, path: str) -> Errors:
    name = (source.get("metric") or {}).get("name")
    rule = names.path_segment
    return rules.named(f"{path}.metric.name", name, rule, "must specify a metric name")


def _positive(amount: str | None) -> bool:
    return amount is not None and quantity.parse_json(amount) > quantity.parse("0")


def text(metrics: list[Json], current: list[Json]) -> str:
    """`cpu: 40%/80%, 3/5 (avg)` and how many more there are."""
    if not metrics:
        return cells.NONE
    shown = []
    for at, metric in enumerate(metrics[:SHOWN]):
        field = FIELDS.get(metric.get("type", ""), "")
        source = metric.get(field)
        if source is None:
            shown.append("<unknown type>")
            continue
        status = (current[at] if at < len(current) else {}).get(field) or {}
        shown.append(_one(field, source, status.get("current") or {}))
    more = f" + {len(metrics) - SHOWN} more..." if len(metrics) > SHOWN else ""
    return ", ".join(shown) + more


def _one(field: str, source: Json, current: Json) -> str:
    target = source.get("target") or {}
    if field in ("resource", "containerResource"):
        label = f"{source.get('name', '')}: "
        if target.get("averageValue") is not None:
            return label + _pair(current, target, "averageValue")
        now, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        shown = f"{now}%" if now is not None else cells.UNKNOWN
        return f"{label}{shown}/{wanted if wanted is not None else '<auto>'}" + (
            "%" if wanted is not None else ""
        )
    if field == "pods":
        return _pair(current, target, "averageValue")
    if target.get("averageValue") is not None:
        return _pair(current, target, "averageValue") + " (avg)"
    return _pair(current, target, "value")


def _pair(current: Json, target: Json, field: str) -> str:
    return f"{current.get(field, cells.UNKNOWN)}/{target.get(field, '')}"
