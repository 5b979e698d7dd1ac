"""Filling in the defaults of a schema, in place, on requests and on what comes from storage."""

from __future__ import annotations

import copy
from typing import Any

from sampan.api.meta import Json


def apply(value: Any, schema: Json) -> None:
    """A null counts as absent unless the field may be null."""
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for each in value:
                apply(each, items)
        return
    if not isinstance(value, dict):
        return
    known = schema.get("properties") or {}
    for name, field in known.items():
        absent = name not in value or (value[name] is None and not field.get("nullable"))
        if absent and "default" in field:
            value[name] = copy.deepcopy(field["default"])
        elif absent:
            value.pop(name, None)
    others = schema.get("additionalProperties")
    for name, item in value.items():
        below = known.get(name, others)
        if isinstance(below, dict):
            apply(item, below)
