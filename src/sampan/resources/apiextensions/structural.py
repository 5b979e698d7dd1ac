"""Whether a schema is structural: every part typed once, at one place, so that pruning and
defaulting are well defined.
"""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"

_NO_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_NOT_IN_BRANCHES = (
    "type", "description", "title", "default", "additionalProperties", "nullable", PRESERVE,
    EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE, MAP_TYPE, "x-kubernetes-validations",
)  # fmt: skip
_INT_OR_STRING_BRANCHES = [{"type": "integer"}, {"type": "string"}]
_BRANCHES = ("allOf", "anyOf", "oneOf")


def validate(schema: Json, path: str, level: str = "root") -> Errors:
    """`level` is root, item or field."""
    errors = _unsupported(schema, path) + _type(schema, path, level)
    errors += _extensions(schema, path) + _lists(schema, path)
    errors += _composition(schema, path)
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in sorted(known):
        here = f"{path}.properties[{name}]"
        if name == "metadata" and (level == "root" or schema.get(EMBEDDED)):
            errors += _metadata(known[name], here)
        errors += validate(known[name], here, "field")
    if isinstance(others, dict):
        errors += validate(others, f"{path}.additionalProperties", "field")
    if known and (isinstance(others, dict) or others is False):
        says = "additionalProperties and properties are mutual exclusive"
        errors += rules.forbidden(f"{path}.additionalProperties", says)
    items = schema.get("items")
    if isinstance(items, dict):
        errors += validate(items, f"{path}.items", "item")
    return errors


def _unsupported(schema: Json, path: str) -> Errors:
    errors: Errors = []
    for name in _UNSUPPORTED:
        if schema.get(name) is not None:
            errors += rules.forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        says = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors += rules.forbidden(f"{path}.uniqueItems", says)
    if isinstance(schema.get("items"), list):
        says = "items must be a schema object and not an array"
        errors += rules.forbidden(f"{path}.items", says)
    if schema.get("type") == "null":
        says = "type cannot be set to null, use nullable as an alternative"
        errors += rules.forbidden(f"{path}.type", says)
    return errors


def _type(schema: Json, path: str, level: str) -> Errors:
    name = schema.get("type", "")
    errors: Errors = []
    if not name:
        may_lack = schema.get(INT_OR_STRING) or schema.get(PRESERVE)
        if level == "root" or not may_lack:
            errors += rules.required(f"{path}.type", _NO_TYPE[level])
    elif level == "root" and name != "object":
        errors += rules.invalid(f"{path}.type", name, "must be object at the root")
    elif name not in _TYPES and name != "null":
        errors += rules.not_supported(f"{path}.type", name, _TYPES)
    if name == "array" and schema.get("items") is None:
        errors += rules.required(f"{path}.items", "must be specified")
    if name != "array" and isinstance(schema.get("items"), dict):
        errors += rules.forbidden(f"{path}.items", "must be empty unless type is array")
    if level == "root" and schema.get("nullable"):
        errors += rules.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    return errors


def _extensions(schema: Json, path: str) -> Errors:
    name, errors = schema.get("type", ""), rules.none()
    if schema.get(EMBEDDED):
        says = f"must be object if {EMBEDDED} is true"
        if not name:
            errors += rules.required(f"{path}.type", says)
        elif name != "object":
            errors += rules.invalid(f"{path}.type", name, says)
        if not schema.get(PRESERVE) and not schema.get("properties"):
            says = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
            errors += rules.required(f"{path}.properties", says)
    if schema.get(INT_OR_STRING) and name:
        says = f"must be empty if {INT_OR_STRING} is true"
        errors += rules.forbidden(f"{path}.type", says)
    if schema.get(PRESERVE) is False:
        says = "must be true or undefined"
        errors += rules.invalid(f"{path}.{PRESERVE}", False, says)
    kind = schema.get(MAP_TYPE)
    if kind is not None:
        if kind not in ("atomic", "granular"):
            errors += rules.not_supported(f"{path}.{MAP_TYPE}", kind, ["atomic", "granular"])
        if name != "object":
            says = f"must be object if {MAP_TYPE} is specified"
            errors += rules.invalid(f"{path}.type", name, says)
    return errors


def _lists(schema: Json, path: str) -> Errors:
    kind, keys = schema.get(LIST_TYPE), schema.get(LIST_KEYS) or []
    errors: Errors = []
    if kind is not None and schema.get("type") != "array":
        says = f"must be array if {LIST_TYPE} is specified"
        errors += rules.invalid(f"{path}.type", schema.get("type", ""), says)
    if kind is not None and kind not in ("atomic", "map", "set"):
        errors += rules.not_supported(f"{path}.{LIST_TYPE}", kind, ["atomic", "map", "set"])
    if keys and kind != "map":
        says = f"must be map if {LIST_KEYS} is non-empty"
        where = f"{path}.{LIST_TYPE}"
        wrong = rules.invalid(where, kind, says)
        errors += wrong if kind is not None else rules.required(where, says)
    items = schema.get("items")
    if kind == "map":
        errors += _list_map(items if isinstance(items, dict) else None, keys, path)
    if kind == "set" and isinstance(items, dict):
        errors += _list_set(items, path)
    return errors


def _list_map(items: Json | None, keys: list[str], path: str) -> Errors:
    errors: Errors = []
    if not keys:
        says = f"must not be empty if {LIST_TYPE} is map"
        errors += rules.required(f"{path}.{LIST_KEYS}", says)
    if items is None:
        says = f"must have a schema if {LIST_TYPE} is map"
        return errors + rules.required(f"{path}.items", says)
    if items.get("type") != "object":
        says = f"must be object if parent array's {LIST_TYPE} is map"
        errors += rules.invalid(f"{path}.items.type", items.get("type", ""), says)
    known = items.get("properties") or {}
    for at, key in enumerate(keys):
        here = f"{path}.items.properties[{key}]"
        if key in keys[:at]:
            errors += rules.duplicate(f"{path}.{LIST_KEYS}[{at}]", key)
        if key not in known:
            says = "entries must all be names of item properties"
            errors += rules.invalid(f"{path}.{LIST_KEYS}[{at}]", key, says)
            continue
        if known[key].get("type") in ("array", "object"):
            says = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors += rules.invalid(f"{here}.type", known[key]["type"], says)
        if key not in (items.get("required") or ()) and known[key].get("default") is None:
            says = (
                f"this property is in {LIST_KEYS}, so it must have a default or be a required "
                "property"
            )
            errors += rules.required(f"{here}.default", says)
    return errors


def _list_set(items: Json, path: str) -> Errors:
    name, errors = items.get("type"), rules.none()
    if items.get("nullable"):
        says = "cannot be nullable when x-kubernetes-list-type is set"
        errors += rules.forbidden(f"{path}.items.nullable", says)
    if name == "object" and items.get(MAP_TYPE) != "atomic":
        says = f"must be atomic as item of a list with {LIST_TYPE}=set"
        errors += rules.invalid(f"{path}.items.{MAP_TYPE}", items.get(MAP_TYPE), says)
    if name == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
        says = f"must be atomic as item of a list with {LIST_TYPE}=set"
        errors += rules.invalid(f"{path}.items.{LIST_TYPE}", items.get(LIST_TYPE), says)
    return errors


def _metadata(schema: Json, path: str) -> Errors:
    """The server knows what metadata is; a schema may only restrict names."""
    errors: Errors = []
    if schema.get("type", "object") != "object":
        errors += rules.invalid(f"{path}.type", schema["type"], "must be object")
    allowed = {"type", "properties", "description", "required", "title"}
    extra = set(schema.get("properties") or {}) - {"name", "generateName"}
    if extra or set(schema) - allowed:
        says = (
            "must not specify anything other than name and generateName, but metadata is "
            "implicitly specified"
        )
        errors += rules.forbidden(path, says)
    return errors


def _composition(schema: Json, path: str) -> Errors:
    if schema.get(INT_OR_STRING) and schema.get("anyOf") == _INT_OR_STRING_BRANCHES:
        schema = {key: value for key, value in schema.items() if key != "anyOf"}
    errors: Errors = []
    for name in _BRANCHES:
        for at, branch in enumerate(schema.get(name) or ()):
            errors += _branch(branch, schema, f"{path}.{name}[{at}]", path)
    if isinstance(schema.get("not"), dict):
        errors += _branch(schema["not"], schema, f"{path}.not", path)
    return errors


def _branch(branch: Json, main: Json | None, path: str, main_path: str) -> Errors:
    """A branch may only restrict what the main schema specifies."""
    errors: Errors = []
    for name in _NOT_IN_BRANCHES:
        if branch.get(name):
            errors += rules.forbidden(f"{path}.{name}", "must be empty to be structural")
    specified = (main or {}).get("properties") or {}
    open_ = isinstance((main or {}).get("additionalProperties"), dict)
    for name, below in sorted((branch.get("properties") or {}).items()):
        here = f"{path}.properties[{name}]"
        if name not in specified and not open_:
            where = f"{main_path}.properties[{name}]"
            errors += rules.required(where, f"because it is defined in {here}")
        inner: Any = specified.get(name, (main or {}).get("additionalProperties"))
        below_main = inner if isinstance(inner, dict) else None
        errors += _branch(below, below_main, here, f"{main_path}.properties[{name}]")
    items = branch.get("items")
    if isinstance(items, dict):
        inner = (main or {}).get("items")
        if not isinstance(inner, dict):
            where = f"{main_path}.items"
            errors += rules.required(where, f"because it is defined in {path}.items")
        below_main = inner if isinstance(inner, dict) else None
        errors += _branch(items, below_main, f"{path}.items", f"{main_path}.items")
    for name in _BRANCHES:
        for at, each in enumerate(branch.get(name) or ()):
            errors += _branch(each, main, f"{path}.{name}[{at}]", main_path)
    if isinstance(branch.get("not"), dict):
        errors += _branch(branch["not"], main, f"{path}.not", main_path)
    return errors
