"""Lists that are sets or maps: no element twice."""

from __future__ import annotations

import json
from typing import Any

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors


def duplicates(value: Any, schema: Json, path: str = "") -> Errors:
    errors: Errors = []
    if isinstance(value, dict):
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            below = known.get(name, others)
            if isinstance(below, dict):
                errors += duplicates(item, below, f"{path}.{name}" if path else name)
    if isinstance(value, list):
        errors += _twice(value, schema, path)
        items = schema.get("items")
        for at, each in enumerate(value if isinstance(items, dict) else ()):
            errors += duplicates(each, items or {}, f"{path}[{at}]")
    return errors


def _twice(value: list[Any], schema: Json, path: str) -> Errors:
    kind, keys = (schema.get(f"x-kubernetes-{part}") for part in ("list-type", "list-map-keys"))
    if kind not in ("set", "map"):
        return []
    if kind == "map":
        for at, element in enumerate(value):
            if element is not None and not isinstance(element, dict):
                says = "must be an object for an array of list-type map"
                return rules.invalid(f"{path}[{at}]", element, says)
    seen, told, errors = set[str](), set[str](), rules.none()
    for at, element in enumerate(value):
        identity = element
        if kind == "map":
            held = element or {}
            identity = {key: held[key] for key in keys or () if key in held}
        text = json.dumps(identity, sort_keys=True)
        if text in seen and text not in told:
            errors += rules.duplicate(f"{path}[{at}]", identity)
            told.add(text)
        seen.add(text)
    return errors
