"""Whether a schema is structural: every part typed once, at one place, so that pruning and
defaulting are well defined. What else a schema may not say is in `allowed.py`.
"""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors
from sampan.std import goregexp

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"

_NO_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_IN_BRANCHES = {
    "type": "must be empty", "additionalProperties": "must be undefined",
    "default": "must be undefined", "title": "must be empty", "description": "must be empty",
    "nullable": "must be false", PRESERVE: "must be false", EMBEDDED: "must be false",
    INT_OR_STRING: "must be false", "x-kubernetes-list-map-keys": "must be empty",
    "x-kubernetes-list-type": "must be undefined", "x-kubernetes-map-type": "must be undefined",
    "x-kubernetes-validations": "must be empty",
}  # fmt: skip
"""What branches of a composition may not say, and how it must be there."""
_EITHER = [{"type": "integer"}, {"type": "string"}]
BRANCHES = ("allOf", "anyOf", "oneOf")


def validate(schema: Json, path: str) -> Errors:
    """In the order of the texts, as upstream."""
    errors = _invariants(schema, path, "root") + _complete(schema, schema, path, path)
    return sorted(errors, key=str)


def _invariants(schema: Json, path: str, level: str) -> Errors:
    """`level` is root, item or field."""
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    items, errors = schema.get("items"), rules.none()
    if schema.get("type") == "array" and items is None:
        errors += rules.required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        errors += _invariants(items, f"{path}.items", "item")
    for name in known:
        errors += _invariants(known[name], f"{path}.properties[{name}]", "field")
    if others is not None and level == "root":
        errors += rules.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(others, dict):
        errors += _invariants(others, f"{path}.additionalProperties", "field")
    errors += _type(schema, path, level) + _extensions(schema, path)
    errors += _junctors(schema, path, either=bool(schema.get("anyOf") == _EITHER))
    return errors + _object_parts(schema, path, level)


def _type(schema: Json, path: str, level: str) -> Errors:
    name, where = schema.get("type", ""), f"{path}.type"
    if schema.get(EMBEDDED) and name != "object":
        says = f"must be object if {EMBEDDED} is true"
        return rules.invalid(where, name, says) if name else rules.required(where, says)
    if not name and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        return rules.required(where, _NO_TYPE[level])
    if level == "root" and name and name != "object":
        return rules.invalid(where, name, "must be object at the root")
    return []


def _extensions(schema: Json, path: str) -> Errors:
    errors: Errors = []
    for name in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(name):
            says = f"must be false if {INT_OR_STRING} is true"
            errors += rules.invalid(f"{path}.{name}", True, says)
    if schema.get(EMBEDDED) and schema.get("additionalProperties") is not None:
        says = f"must not be used if {EMBEDDED} is set"
        errors += rules.forbidden(f"{path}.additionalProperties", says)
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not schema.get("properties"):
        says = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        errors += rules.required(f"{path}.properties", says)
    return errors


def _object_parts(schema: Json, path: str, level: str) -> Errors:
    """The server knows what apiVersion, kind and metadata are; schemas may only restrict names."""
    known, errors = schema.get("properties") or {}, rules.none()
    if level != "root" and not schema.get(EMBEDDED):
        return errors
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        kind = known.get(name, {}).get("type", "")
        if name in known and kind != wanted:
            where = f"{path}.properties[{name}].type"
            errors += rules.invalid(where, kind, f"must be {wanted}")
    if level == "root" and "metadata" in known:
        metadata = known["metadata"]
        extra = set(metadata.get("properties") or ()) - {"name", "generateName"}
        if extra or set(metadata) - {"type", "properties", "default"}:
            says = (
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified"
            )
            errors += rules.forbidden(f"{path}.properties[metadata]", says)
    return errors


def _junctors(schema: Json, path: str, *, either: bool = False) -> Errors:
    """The branches of compositions; `either` is the anyOf that int-or-string brings."""
    errors: Errors = []
    for name in BRANCHES:
        for at, branch in enumerate(schema.get(name) or ()):
            if name == "anyOf" and either:
                continue
            first = name == "allOf" and at == 0 and branch.get("anyOf") == _EITHER
            errors += _branch(branch, f"{path}.{name}[{at}]", either=first)
    if isinstance(schema.get("not"), dict):
        errors += _branch(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        try:
            goregexp.compiled(pattern)
        except goregexp.BadPattern as error:
            says = f"must be a valid regular expression, but isn't: {error}"
            errors += rules.invalid(f"{path}.pattern", pattern, says)
    return errors


def _branch(branch: Json, path: str, *, either: bool = False) -> Errors:
    errors = _junctors(branch, path, either=either)
    for name, how in _IN_BRANCHES.items():
        if branch.get(name):
            errors += rules.forbidden(f"{path}.{name}", f"{how} to be structural")
    known = branch.get("properties") or {}
    for name in known:
        errors += _branch(known[name], f"{path}.properties[{name}]")
    if "metadata" in known:
        says = "must not be specified in a nested context"
        errors += rules.forbidden(f"{path}.properties[metadata]", says)
    if isinstance(branch.get("items"), dict):
        errors += _branch(branch["items"], f"{path}.items")
    return errors


def _complete(value: Json, main: Json, main_path: str, path: str) -> Errors:
    """A branch may only restrict what the main schema specifies."""
    errors: Errors = []
    for name in BRANCHES:
        for at, branch in enumerate(value.get(name) or ()):
            errors += _specified(branch, main, main_path, f"{path}.{name}[{at}]")
    if isinstance(value.get("not"), dict):
        errors += _specified(value["not"], main, main_path, f"{path}.not")
    return errors


def _specified(branch: Json, main: Any, main_path: str, path: str) -> Errors:
    if not isinstance(main, dict):
        return rules.required(main_path, f"because it is defined in {path}")
    errors = _complete(branch, main, main_path, path)
    if isinstance(branch.get("items"), dict):
        below = main.get("items")
        errors += _specified(branch["items"], below, f"{main_path}.items", f"{path}.items")
    specified = main.get("properties") or {}
    for name, below in (branch.get("properties") or {}).items():
        here = f"properties[{name}]"
        errors += _specified(below, specified.get(name), f"{main_path}.{here}", f"{path}.{here}")
    return errors
