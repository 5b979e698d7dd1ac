"""A device of a ResourceSlice: attributes, capacity with its request policy, taints, counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sampan.api import names, quantity
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.core.pod.scheduling import node_selector
from sampan.resources.resource.device import EFFECTS, each_of, qualified, set_of
from sampan.resources.rules import Errors

MAX_ATTRIBUTES_AND_CAPACITIES = 32
MAX_VALUES = 48
MAX_TAINTS = 16
MAX_CONSUMPTIONS = 2
MAX_COUNTERS = 32
MAX_CONDITIONS = 4
MAX_OPTIONS = 10
VALUE_LIMIT = 64
KEY_LIMIT = 96
LABEL_LIMIT = 63
_ONE_VALUE = "exactly one value must be specified"
_NUMBER = r"(0|[1-9]\d*)"
_PRE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
)
_PLACES = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
_PLACES += "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
_NO_PLACES = "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
_NO_PLACES += "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"


def device(path: str, value: Json, old: Json | None, *, per_device: bool) -> Errors:
    name = value.get("name") or ""
    errors = rules.each(f"{path}.name", name, names.dns1123_label(name))
    errors += _sizes(path, value)
    here = f"{path}.attributes"
    errors += keyed(here, value.get("attributes"), qualified, _attribute, KEY_LIMIT)
    capacity = _shared_capacity if value.get("allowMultipleAllocations") else _own_capacity
    errors += keyed(f"{path}.capacity", value.get("capacity"), qualified, capacity, KEY_LIMIT)
    if old is None or old.get("taints") != value.get("taints"):
        errors += each_of(f"{path}.taints", value.get("taints"), _taint, MAX_TAINTS)
    errors += set_of(
        f"{path}.consumesCounters", value.get("consumesCounters"), _consumption, MAX_CONSUMPTIONS,
        lambda consumption: str(consumption.get("counterSet") or ""),
    )  # fmt: skip
    errors += _place(path, value, per_device=per_device)
    return errors + binding_conditions(path, value)


def keyed(
    path: str,
    values: Mapping[str, Any] | None,
    key_rule: Callable[[str, str], Errors],
    rule: Callable[[str, Any], Errors],
    limit: int,
    most: int = -1,
) -> Errors:
    """A map: every key, and every value under its (shortened) key."""
    values = values or {}
    if 0 <= most < len(values):
        return rules.too_many(path, len(values), most)
    errors: Errors = []
    for key, value in sorted(values.items()):
        errors += key_rule(path, key)
        errors += rule(f"{path}[{_shortened(key, limit)}]", value)
    return errors


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = most - 3
    return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"


def counter_set(path: str, value: Json) -> Errors:
    return _counters(path, "name", value)


def _consumption(path: str, value: Json) -> Errors:
    return _counters(path, "counterSet", value)


def _counters(path: str, field: str, value: Json) -> Errors:
    errors = rules.named(f"{path}.{field}", value.get(field), names.dns1123_label)
    here, counters = f"{path}.counters", value.get("counters")
    if not counters:
        return errors + rules.required(here)
    return errors + keyed(
        here, counters, _counter_name, lambda at, counter: [], LABEL_LIMIT, MAX_COUNTERS
    )


def _counter_name(path: str, name: str) -> Errors:
    return rules.each(path, name, names.dns1123_label(name))


def _sizes(path: str, value: Json) -> Errors:
    attributes = value.get("attributes") or {}
    count, errors = len(attributes) + len(value.get("capacity") or {}), rules.none()
    if count > MAX_ATTRIBUTES_AND_CAPACITIES:
        says = "the total number of attributes and capacities must not exceed "
        errors += rules.invalid(path, count, f"{says}{MAX_ATTRIBUTES_AND_CAPACITIES}")
    if len(attributes) > MAX_VALUES:
        says = f"the total number of attribute values must not exceed {MAX_VALUES}"
        errors += rules.invalid(path, len(attributes), says)
    return errors


def _attribute(path: str, value: Json) -> Errors:
    errors: Errors = []
    text, version = value.get("string"), value.get("version")
    if text is not None and len(text) > VALUE_LIMIT:
        errors += rules.too_long(f"{path}.string", VALUE_LIMIT)
    if version is not None:
        here = f"{path}.version"
        if _SEMVER.fullmatch(version) is None:
            says = "must be a string compatible with semver.org spec 2.0.0"
            errors += rules.invalid(here, version, says)
        if len(version) > VALUE_LIMIT:
            errors += rules.too_long(here, VALUE_LIMIT)
    given = [name for name in ("bool", "int", "string", "version") if value.get(name) is not None]
    if len(given) == 1:
        return errors
    return errors + rules.invalid(path, _shown(value) if given else "", _ONE_VALUE)


def _shown(value: Json) -> Json:
    """With all the fields of upstream's own form."""
    fields = ("int", "bool", "string", "version")
    one = {f"{field.title()}Value": value.get(field) for field in fields}
    return one | {f"{field.title()}Values": value.get(f"{field}s") for field in fields}


def _own_capacity(path: str, value: Json) -> Errors:
    if value.get("requestPolicy") is None:
        return []
    return rules.forbidden(f"{path}.requestPolicy", "allowMultipleAllocations must be true")


def _shared_capacity(path: str, value: Json) -> Errors:
    policy, here = value.get("requestPolicy"), f"{path}.requestPolicy"
    if policy is None:
        return []
    values, between, default = (policy.get(f) for f in ("validValues", "validRange", "default"))
    if values and between is not None:
        says = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" '
        return rules.forbidden(here, f"{says}at the same time")
    for field, given in (("validValues", bool(values)), ("validRange", between is not None)):
        if given and default is None:
            return rules.required(f"{here}.default", f"required when {field} is defined")
    most = str(value.get("value") or "0")
    if values:
        return _options(f"{here}.validValues", values, default, most)
    return _range(f"{here}.validRange", between, default, most) if between is not None else []


def _options(path: str, values: list[str], default: str, most: str) -> Errors:
    errors: Errors = []
    for at in range(1, len(values)):
        if _amount(values[at - 1]) > _amount(values[at]):
            says = "values must be sorted in ascending order"
            errors += rules.invalid(f"{path}[{at}]", values[at], says)

    def option(at: str, value: str) -> Errors:
        if _amount(value) > _amount(most):
            return rules.invalid(at, value, f"option is larger than capacity value: {most}")
        return []

    errors += set_of(path, values, option, MAX_OPTIONS, lambda v: str(quantity.units(v)))
    if len(values) > MAX_OPTIONS or _amount(default) not in [_amount(v) for v in values]:
        says = "default value is not valid according to the requestPolicy"
        errors += rules.invalid(path, default, says)
    return errors


def _range(path: str, between: Json, default: str, most: str) -> Errors:
    low, high, step = between.get("min"), between.get("max"), between.get("step")
    if low is None:
        return rules.required(f"{path}.min", "required when validRange is defined")
    errors: Errors = []
    at_low, at_high, at_step = f"{path}.min", f"{path}.max", f"{path}.step"
    if _amount(low) > _amount(most):
        errors += rules.invalid(at_low, low, f"min is larger than capacity value: {most}")
    if _amount(default) < _amount(low):
        errors += rules.invalid(at_low, default, f"default is less than min: {low}")
    if high is not None:
        if _amount(low) > _amount(high):
            errors += rules.invalid(at_high, low, f"min is larger than max: {high}")
        if _amount(high) > _amount(most):
            errors += rules.invalid(at_high, high, f"max is larger than capacity value: {most}")
        if _amount(default) > _amount(high):
            errors += rules.invalid(at_high, default, f"default is more than max: {high}")
    if step is not None:
        errors += _steps(at_step, low, step, [default] + ([high] if high is not None else []))
    return errors


def _steps(path: str, low: str, step: str, ends: list[str]) -> Errors:
    errors: Errors = []
    for end in ends:
        if _amount(step) and (_amount(end) - _amount(low)) % _amount(step):
            says = f"value is not a multiple of a given step ({step}) from ({low})"
            errors += rules.invalid(path, end, says)
    return errors


def _amount(text: str) -> Any:
    return quantity.parse(str(text)).nanos


def _taint(path: str, taint: Json) -> Errors:
    key, value = taint.get("key") or "", taint.get("value") or ""
    errors = rules.each(f"{path}.key", key, names.qualified_name(key))
    if value:
        errors += rules.each(f"{path}.value", value, names.label_value(value))
    return errors + rules.one_of(f"{path}.effect", taint.get("effect"), EFFECTS)


def _place(path: str, value: Json, *, per_device: bool) -> Errors:
    places = [value.get(field) for field in ("nodeName", "nodeSelector", "allNodes")]
    if not per_device:
        told = any(place is not None for place in places)
        return rules.invalid(path, None, _NO_PLACES) if told else []
    name, selector, everywhere = places
    errors: Errors = []
    given: list[str] = []
    if name is not None:
        here = f"{path}.nodeName"
        if name:
            given.append("`nodeName`")
            errors += rules.each(here, name, names.dns1123_subdomain(name))
        else:
            errors += rules.invalid(here, name, "must not be empty")
    if selector is not None:
        given.append("`nodeSelector`")
        errors += node_selector(f"{path}.nodeSelector", selector)
    if everywhere:
        given.append("`allNodes`")
    elif everywhere is not None:
        errors += rules.invalid(f"{path}.allNodes", False, "must be either unset or set to true")
    if not given:
        return errors + rules.required(path, _PLACES)
    if len(given) > 1:
        errors += rules.invalid(path, "{" + ", ".join(given) + "}", _PLACES)
    return errors


def binding_conditions(path: str, value: Json) -> Errors:
    """Conditions that a scheduler waits for, and those that tell it to give up."""
    wanted, failed = (value.get(f) or [] for f in ("bindingConditions", "bindingFailureConditions"))
    good, bad = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    errors = each_of(good, wanted, _label_name, MAX_CONDITIONS)
    errors += each_of(bad, failed, _label_name, MAX_CONDITIONS)
    for at, condition in enumerate(wanted):
        if condition in wanted[:at]:
            errors += rules.duplicate(f"{good}[{at}]", condition)
    for at, condition in enumerate(failed):
        if condition in failed[:at]:
            errors += rules.duplicate(f"{bad}[{at}]", condition)
        if condition in wanted:
            says = "bindingFailureConditions must not overlap with bindingConditions"
            errors += rules.invalid(f"{bad}[{at}]", condition, says)
    if failed and not wanted:
        says = "bindingConditions are required to use bindingFailureConditions"
        errors += rules.invalid(good, value.get("bindingConditions"), says)
    if wanted and not failed:
        says = "bindingFailureConditions are required to use bindingConditions"
        errors += rules.invalid(bad, value.get("bindingFailureConditions"), says)
    return errors


def _label_name(path: str, name: str) -> Errors:
    return rules.each(path, name, names.qualified_name(name))
