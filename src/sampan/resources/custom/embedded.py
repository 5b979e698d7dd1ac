"""Whole objects inside custom ones (`x-kubernetes-embedded-resource`): they keep the rules that
every object has, for their type, name and other metadata.
"""

from __future__ import annotations

from typing import Any

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import metadata, rules
from sampan.resources.custom.prune import EMBEDDED
from sampan.resources.rules import Errors

_NAMELESS = "fakename"
"""An embedded object may go without a name."""


def validate(value: Any, schema: Json, path: str = "") -> Errors:
    errors: Errors = []
    if isinstance(value, dict):
        if schema.get(EMBEDDED):
            errors += _object(value, path)
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            if key in known:
                errors += validate(item, known[key], _child(path, key))
            elif isinstance(others, dict):
                errors += validate(item, others, f"{path}[{key}]")
    elif isinstance(value, list):
        items = schema.get("items")
        for at, item in enumerate(value if isinstance(items, dict) else ()):
            errors += validate(item, items or {}, f"{path}[{at}]")
    return errors


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _object(value: Json, path: str) -> Errors:
    errors: Errors = []
    for key, rule in (("apiVersion", _version_fault), ("kind", _kind_fault)):
        where = _child(path, key)
        if key not in value:
            errors += rules.required(where)
        elif says := rule(value[key]):
            errors += rules.invalid(where, value[key], says)
    meta = value.get("metadata")
    if isinstance(meta, dict):
        errors += metadata.validate_create(
            {"metadata": {**meta, "name": meta.get("name") or _NAMELESS}},
            namespaced=bool(meta.get("namespace")),
            name_rule=names.name_is_path_segment,
            path=_child(path, "metadata"),
            free_finalizers=True,
        )
    return errors


def _version_fault(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a string"
    if not value:
        return "must not be empty"
    return "" if value.count("/") < 2 else f"unexpected GroupVersion string: {value}"


def _kind_fault(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a string"
    if not value:
        return "must not be empty"
    says = names.dns1035_label(value.lower())
    lead = "may have mixed case, but should otherwise match: "
    return lead + ",".join(says) if says else ""
