"""What a schema of a definition may not say even where it is structural: unsupported words, lists
that are no sets or maps, uniqueness that costs too much.
"""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.apiextensions.structural import BRANCHES, EMBEDDED, PRESERVE
from sampan.resources.rules import Errors

LIST_TYPE, LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
OF_OBJECTS = ("apiVersion", "kind", "metadata")
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")


def validate(schema: Json, path: str) -> Errors:
    errors: Errors = []
    if schema.get("nullable"):
        errors += rules.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    return errors + _validate(schema, path, root=True)


def unsupported(schema: Json) -> bool:
    """Whether anything in it keeps it from being read as a structural schema at all."""
    if isinstance(schema.get("items"), list) or any(schema.get(word) for word in _UNSUPPORTED):
        return True
    below = [*(schema.get("properties") or {}).values()]
    below += [each for name in BRANCHES for each in schema.get(name) or ()]
    below += [schema[name] for name in ("not", "items", "additionalProperties") if name in schema]
    return any(unsupported(each) for each in below if isinstance(each, dict))


def _validate(schema: Json, path: str, *, root: bool = False, no_defaults: str = "") -> Errors:
    """`no_defaults` is the reason why there may be none below."""
    errors = _words(schema, path, no_defaults)
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    if known and (isinstance(others, dict) or others is False):
        says = "additionalProperties and properties are mutual exclusive"
        errors += rules.forbidden(f"{path}.additionalProperties", says)
    if isinstance(others, dict):
        errors += _validate(others, f"{path}.additionalProperties", no_defaults=no_defaults)
    for name in sorted(known):
        reason = f"in top-level {name}" if root and name in OF_OBJECTS else no_defaults
        errors += _validate(known[name], f"{path}.properties[{name}]", no_defaults=reason)
    for name in BRANCHES:
        for at, branch in enumerate(schema.get(name) or ()):
            errors += _validate(branch, f"{path}.{name}[{at}]", no_defaults=no_defaults)
    for name in ("not", "items"):
        if isinstance(schema.get(name), dict):
            errors += _validate(schema[name], f"{path}.{name}", no_defaults=no_defaults)
    return errors + _maps(schema, path) + _lists(schema, path)


def _words(schema: Json, path: str, no_defaults: str) -> Errors:
    name, errors = schema.get("type", ""), rules.none()
    if name and name not in _TYPES:
        errors += rules.not_supported(f"{path}.type", name, _TYPES)
    if "default" in schema and no_defaults:
        errors += rules.forbidden(f"{path}.default", f"must not be set {no_defaults}")
    for word in _UNSUPPORTED:
        if schema.get(word) is not None:
            errors += rules.forbidden(f"{path}.{word}", f"{word} is not supported")
    if name == "null":
        says = "type cannot be set to null, use nullable as an alternative"
        errors += rules.forbidden(f"{path}.type", says)
    if isinstance(schema.get("items"), list):
        says = "items must be a schema object and not an array"
        errors += rules.forbidden(f"{path}.items", says)
    if no_defaults and schema.get(EMBEDDED):
        says = "must not be used inside of resource meta"
        errors += rules.forbidden(f"{path}.{EMBEDDED}", says)
    if schema.get("uniqueItems"):
        says = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors += rules.forbidden(f"{path}.uniqueItems", says)
    if schema.get(PRESERVE) is False:
        errors += rules.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    return errors


def _is(schema: Json, path: str, wanted: str, because: str) -> Errors:
    """The type that an extension goes with."""
    name, where = schema.get("type", ""), f"{path}.type"
    if name == wanted:
        return []
    says = f"must be {wanted} if {because} is specified"
    return rules.invalid(where, name, says) if name else rules.required(where, says)


def _maps(schema: Json, path: str) -> Errors:
    kind = schema.get(MAP_TYPE)
    if kind is None:
        return []
    errors = _is(schema, path, "object", MAP_TYPE)
    if kind not in ("atomic", "granular"):
        errors += rules.not_supported(f"{path}.{MAP_TYPE}", kind, ["atomic", "granular"])
    return errors


def _lists(schema: Json, path: str) -> Errors:
    kind, keys = schema.get(LIST_TYPE), schema.get(LIST_KEYS) or []
    items, errors = schema.get("items"), rules.none()
    if kind is not None:
        errors += _is(schema, path, "array", LIST_TYPE)
        if not errors and kind == "set" and isinstance(items, dict):
            errors += _set_items(items, f"{path}.items")
        if kind not in ("atomic", "set", "map"):
            errors += rules.not_supported(f"{path}.{LIST_TYPE}", kind, ["atomic", "set", "map"])
    if keys and kind != "map":
        where, says = f"{path}.{LIST_TYPE}", f"must be map if {LIST_KEYS} is non-empty"
        wrong = rules.required(where, says)
        errors += wrong if kind is None else rules.invalid(where, kind, says)
    if kind == "map":
        errors += _map_items(items, keys, path)
    if kind in ("set", "map") and isinstance(items, dict):
        errors += _elements(items, keys if kind == "map" else [], path, kind)
    return errors


def _set_items(items: Json, path: str) -> Errors:
    says = f"must be atomic as item of a list with {LIST_TYPE}=set"
    kind = items.get(LIST_TYPE)
    if items.get("type") == "array" and kind not in (None, "atomic"):
        return rules.invalid(f"{path}.{LIST_TYPE}", kind, says)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        return rules.invalid(f"{path}.{MAP_TYPE}", kind, says)
    return []


def _map_items(items: Any, keys: list[str], path: str) -> Errors:
    errors: Errors = []
    if not keys:
        says = f"must not be empty if {LIST_TYPE} is map"
        errors += rules.required(f"{path}.{LIST_KEYS}", says)
    if items is None:
        says = f"must have a schema if {LIST_TYPE} is map"
        errors += rules.required(f"{path}.items", says)
    if not isinstance(items, dict):
        return errors
    if items.get("type") != "object":
        says = f"must be object if parent array's {LIST_TYPE} is map"
        return errors + rules.invalid(f"{path}.items.type", items.get("type", ""), says)
    known = items.get("properties") or {}
    for at, key in enumerate(keys):
        if key not in known:
            says = "entries must all be names of item properties"
            errors += rules.invalid(f"{path}.{LIST_KEYS}", keys, says)
        elif known[key].get("type") in ("array", "object"):
            says = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            errors += rules.invalid(f"{path}.items.properties[{key}].type", "object", says)
        if key in keys[:at]:
            says = "must not contain duplicate entries"
            errors += rules.invalid(f"{path}.{LIST_KEYS}", keys, says)
    return errors


def _elements(items: Json, keys: list[str], path: str, kind: str) -> Errors:
    """Elements and keys are there and are not null."""
    errors: Errors = []
    if items.get("nullable"):
        says = f"cannot be nullable when {LIST_TYPE} is {kind}"
        errors += rules.forbidden(f"{path}.items.nullable", says)
    for key in keys:
        found = (items.get("properties") or {}).get(key)
        where = f"{path}.items.properties[{key}]"
        if found is None:
            continue
        if key not in (items.get("required") or ()) and found.get("default") is None:
            says = f"this property is in {LIST_KEYS}, so it must have a default or be a required "
            errors += rules.required(f"{where}.default", says + "property")
        if found.get("nullable"):
            says = f"this property is in {LIST_KEYS}, so it cannot be nullable"
            errors += rules.forbidden(f"{where}.nullable", says)
    return errors
