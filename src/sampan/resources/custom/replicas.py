"""The fields behind the scale subresource of custom objects, which no schema may vouch for."""

from __future__ import annotations

import json
from typing import Any

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

MAX_INT32 = 2**31 - 1
_GO = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    type(None): "<nil>",
}


def validate(obj: Json, scale: Json | None, *, status_only: bool = False) -> Errors:
    if scale is None:
        return []
    errors: Errors = []
    if not status_only:
        errors += _count(obj, scale["specReplicasPath"])
    errors += _count(obj, scale["statusReplicasPath"])
    selector = scale.get("labelSelectorPath")
    if selector:
        _, says = _find(obj, selector, str)
        errors += rules.invalid(selector, "", says) if says else []
    return errors


def _count(obj: Json, path: str) -> Errors:
    value, says = _find(obj, path, int)
    if says:
        return rules.invalid(path, 0, says)
    if value is not None and value < 0:
        return rules.invalid(path, value, "should be a non-negative integer")
    if value is not None and value > MAX_INT32:
        return rules.invalid(path, value, f"should be less than or equal to {MAX_INT32}")
    return []


def _find(obj: Json, path: str, kind: type) -> tuple[Any, str]:
    """The value, None where there is none; else what is in its way."""
    steps = path.removeprefix(".").split(".")
    value: Any = obj
    for at, step in enumerate(steps):
        if value is None:
            return None, ""
        if not isinstance(value, dict):
            return None, _strange(value, steps[: at + 1], "map[string]interface{}")
        if step not in value:
            return None, ""
        value = value[step]
    if type(value) is kind:
        return value, ""
    return None, _strange(value, steps, _GO[kind])


def _strange(value: Any, steps: list[str], wanted: str) -> str:
    where = "." + ".".join(steps)
    got = _GO.get(type(value), "string")
    return f"{where} accessor error: {_shown(value)} is of the type {got}, expected {wanted}"


def _shown(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
