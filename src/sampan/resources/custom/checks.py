"""What is wrong with a value by its schema, in the words of upstream's OpenAPI validation.

With an old value, what did not change is not looked at: a definition may become stricter without
locking up the objects that are there (ratcheting).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.custom import formats
from sampan.resources.rules import Errors
from sampan.std import goregexp

INT_OR_STRING = "x-kubernetes-int-or-string"
MISSING: Any = object()
"""As old value: there was none."""

NOWHERE = "<nil>"
"""Upstream's path of complaints about compositions."""


def validate(value: Any, schema: Json, path: str = "", old: Any = MISSING) -> Errors:
    if old is not MISSING and old == value:
        return []
    if value is None and schema.get("nullable"):
        return []
    errors = _type(value, schema, path)
    if value is None:
        return errors + _enum(value, schema, path)
    errors += _composition(value, schema, path)
    errors += _SCALARS.get(type(value), _nothing)(value, schema, path)
    if isinstance(value, list):
        errors += _array(value, schema, path, old)
    errors += _enum(value, schema, path)
    if isinstance(value, dict):
        errors += _object(value, schema, path, old)
    return errors


def _nothing(value: Any, schema: Json, path: str) -> Errors:
    return []


def type_of(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return "number"
    if isinstance(value, float):
        return "number"
    return _NAMES.get(type(value), "object")


_NAMES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def _wanted(schema: Json) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _type(value: Any, schema: Json, path: str) -> Errors:
    wanted, got = _wanted(schema), type_of(value)
    if not wanted or got in wanted:
        return []
    if "number" in wanted and got == "integer":
        return []
    form = schema.get("format")
    if wanted == ("integer",) and form and got == "number":
        says = f'{path} in body must be of type {form}: "float64"'
        return [FieldError("TypeInvalid", path, "float64", says)]
    says = f'{path} in body must be of type {",".join(wanted)}: "{got}"'
    return [FieldError("TypeInvalid", path, got, says)]


def _composition(value: Any, schema: Json, path: str) -> Errors:
    errors: Errors = []
    shown = json.dumps(path)
    if schema.get("anyOf"):
        fits, best = _branches(value, schema["anyOf"], path)
        if not fits:
            says = f"{shown} must validate at least one schema (anyOf)"
            errors += rules.invalid(NOWHERE, "", says) + best
    if schema.get("oneOf"):
        fits, best = _branches(value, schema["oneOf"], path)
        if fits != 1:
            found = f"Found {fits} valid alternatives" if fits else "Found none valid"
            says = f"{shown} must validate one and only one schema (oneOf). {found}"
            errors += rules.invalid(NOWHERE, "", says) + best
    if schema.get("allOf"):
        faults = [validate(value, branch, path) for branch in schema["allOf"]]
        errors += [error for each in faults for error in each]
        if any(faults):
            says = f"{shown} must validate all the schemas (allOf)"
            says += ". None validated" if all(faults) else ""
            errors += rules.invalid(NOWHERE, "", says)
    if schema.get("not") and not validate(value, schema["not"], path):
        errors += rules.invalid(NOWHERE, "", f"{shown} must not validate the schema (not)")
    return errors


def _branches(value: Any, branches: Iterable[Json], path: str) -> tuple[int, Errors]:
    """How many fit, and the complaints of the first where none does."""
    found = [validate(value, branch, path) for branch in branches]
    fits = sum(not faults for faults in found)
    return fits, [] if fits else found[0]


def _string(value: str, schema: Json, path: str) -> Errors:
    return _measures(value, schema, path) + _format(value, schema, path)


def _measures(value: str, schema: Json, path: str) -> Errors:
    """The first that is wrong."""
    most, least, pattern = (schema.get(key) for key in ("maxLength", "minLength", "pattern"))
    if most is not None and len(value) > most:
        return rules.too_long(path, most)
    if least is not None and len(value) < least:
        says = f"{path} in body should be at least {least} chars long"
        return rules.invalid(path, value, says)
    if pattern and not goregexp.compiled(pattern).search(value):
        return rules.invalid(path, value, f"{path} in body should match '{pattern}'")
    return []


def _format(value: Any, schema: Json, path: str) -> Errors:
    name = schema.get("format")
    if not name or formats.fits(value, name):
        return []
    says = f"{path} in body must be of type {name}: {json.dumps(value, ensure_ascii=False)}"
    return [FieldError("TypeInvalid", path, value, says)]


def _number(value: float, schema: Json, path: str) -> Errors:
    errors = _range(value, schema, path)
    low, high, step = (schema.get(key) for key in ("minimum", "maximum", "multipleOf"))
    if step and abs(value / step - round(value / step)) > 1e-9:
        says = f"{path} in body should be a multiple of {_plain(step)}"
        errors += rules.invalid(path, value, says)
    if high is not None:
        open_ = schema.get("exclusiveMaximum")
        if value > high or (open_ and value == high):
            word = "less than" if open_ else "less than or equal to"
            says = f"{path} in body should be {word} {_plain(high)}"
            errors += rules.invalid(path, value, says)
    if low is not None:
        open_ = schema.get("exclusiveMinimum")
        if value < low or (open_ and value == low):
            word = "greater than" if open_ else "greater than or equal to"
            says = f"{path} in body should be {word} {_plain(low)}"
            errors += rules.invalid(path, value, says)
    return errors


def _range(value: float, schema: Json, path: str) -> Errors:
    kind, form = schema.get("type", ""), schema.get("format", "")
    if formats.in_range(value, kind, form):
        return []
    shown = f"with format {form}" if form else "(default format)"
    return rules.invalid(NOWHERE, "", f"Checked value must be of type {kind} {shown} in {path}")


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


_SCALARS: dict[type, Callable[[Any, Json, str], Errors]] = {
    str: _string,
    int: _number,
    float: _number,
}


def _array(value: list[Any], schema: Json, path: str, old: Any) -> Errors:
    errors: Errors = []
    most, least, items = (schema.get(key) for key in ("maxItems", "minItems", "items"))
    if isinstance(items, dict):
        before = correlated(value, old, schema)
        for at, each in enumerate(value):
            errors += validate(each, items, f"{path}[{at}]", before(at))
    if least is not None and len(value) < least:
        says = f"{path} in body should have at least {least} items"
        errors += rules.invalid(path, len(value), says)
    if most is not None and len(value) > most:
        errors += rules.too_many(path, len(value), most)
    if schema.get("uniqueItems") and any(each in value[:at] for at, each in enumerate(value)):
        says = f"{path} in body shouldn't contain duplicates"
        errors += rules.invalid(path, value, says)
    return errors


def correlated(value: list[Any], old: Any, schema: Json) -> Callable[[int], Any]:
    """From an index to the old element that is the same one: by keys in a list of maps."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return lambda at: MISSING

    def key(element: Any) -> str:
        found = [element.get(name) if isinstance(element, dict) else None for name in keys]
        return json.dumps(found, sort_keys=True)

    known = {key(element): element for element in old}
    return lambda at: known.get(key(value[at]), MISSING)


def _enum(value: Any, schema: Json, path: str) -> Errors:
    allowed = schema.get("enum")
    if not allowed or any(each == value and type(each) is type(value) for each in allowed):
        return []
    shown = [each if isinstance(each, str) else json.dumps(each) for each in allowed]
    return rules.not_supported(path, value, shown)


def _object(value: Json, schema: Json, path: str, old: Any) -> Errors:
    errors: Errors = []
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if least is not None and len(value) < least:
        says = f"{path} in body should have at least {least} properties"
        return rules.invalid(path, len(value), says)
    if most is not None and len(value) > most:
        return rules.too_many(path, len(value), most)
    for name in schema.get("required") or ():
        if name not in value:
            errors += rules.required(f"{path}.{name}" if path else name)
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    before = old if isinstance(old, dict) else {}
    for name, item in value.items():
        below = known.get(name, others)
        if isinstance(below, dict):
            here = f"{path}.{name}" if path else name
            errors += validate(item, below, here, before.get(name, MISSING))
    return errors
