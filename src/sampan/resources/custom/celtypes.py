"""Values and types of CEL, as a schema gives them to rules."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sampan.api.meta import Json
from sampan.resources.cel import times, types
from sampan.resources.cel.errors import EvaluationError
from sampan.resources.cel.types import Kind
from sampan.resources.custom import builtin
from sampan.resources.custom.checks import INT_OR_STRING
from sampan.resources.custom.names import escaped
from sampan.resources.custom.prune import EMBEDDED, OF_OBJECTS, PRESERVE

_METADATA = types.object_of({"name": types.STRING, "generateName": types.STRING})
_OBJECT = {"apiVersion": types.STRING, "kind": types.STRING, "metadata": _METADATA}
_IDENTIFIER = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_SCALARS = {
    "string": types.STRING, "integer": types.INT, "number": types.DOUBLE, "boolean": types.BOOL,
}  # fmt: skip
_FORMATS = {
    "date-time": types.TIMESTAMP, "date": types.TIMESTAMP, "duration": types.DURATION,
    "byte": types.BYTES,
}  # fmt: skip


def kind_of(schema: Json, *, root: bool = False) -> Kind:
    """Nullable does not matter: rules see null as absent."""
    if schema.get(INT_OR_STRING):
        return types.DYN
    name = schema.get("type")
    if name == "string":
        return _FORMATS.get(schema.get("format", ""), types.STRING)
    if name == "array":
        return types.list_of(kind_of(schema.get("items") or {}))
    if name == "object":
        return _object_kind(schema, root=root)
    return _SCALARS.get(name or "", types.DYN)


def whole_kind(schema: Json, name: str) -> Kind:
    """The kind of custom objects with all of their metadata, as the type checker of policies sees
    them (rules of a schema see its names only).
    """
    found = kind_of(schema, root=True)
    fields = dict(found.fields or {}) | {"metadata": builtin.metadata(name)}
    return types.object_of(fields, name)


def _object_kind(schema: Json, *, root: bool) -> Kind:
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return types.map_of(kind_of(others))
    known = schema.get("properties")
    whole = root or bool(schema.get(EMBEDDED))
    if not known and not whole:
        return types.object_of({})
    fields = {
        name: kind
        for key, below in (known or {}).items()
        if below.get("type") or below.get(INT_OR_STRING)
        for name, kind in ((escaped(key), kind_of(below)), (key, kind_of(below)))
        if _IDENTIFIER.fullmatch(name)
    }
    return types.object_of(fields | _OBJECT if whole else fields)


def value_of(value: Any, schema: Json, *, root: bool = False) -> Any:
    """A JSON value as CEL sees it; what is null or not in the schema is not there."""
    if isinstance(value, dict):
        return _object_value(value, schema, root=root)
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [value_of(each, items) for each in value]
    return _scalar_value(value, schema)


def _scalar_value(value: Any, schema: Json) -> Any:
    if schema.get(INT_OR_STRING):
        return value
    if isinstance(value, str):
        convert = _CONVERT.get(schema.get("format", ""))
        return convert(value) if convert else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = {"number": float, "integer": int}.get(schema.get("type", ""))
        return number(value) if number else value
    return value


def _object_value(value: Json, schema: Json, *, root: bool) -> Json:
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    if isinstance(others, dict):
        return {key: value_of(item, others) for key, item in value.items()}
    if not known and schema.get(PRESERVE):
        return value
    out = {
        key: value_of(item, known[key])
        for key, item in value.items()
        if key in known and item is not None
    }
    if root or schema.get(EMBEDDED):
        out |= {key: value[key] for key in OF_OBJECTS if key in value and key not in out}
    return out


def _lenient(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A text that is no such thing was complained of elsewhere."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, EvaluationError, binascii.Error):
            return text

    return convert


def _date(text: str) -> datetime:
    day = date.fromisoformat(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_CONVERT: dict[str, Callable[[str], Any]] = {
    "date-time": _lenient(times.timestamp),
    "date": _lenient(_date),
    "duration": _lenient(times.duration),
    "byte": _lenient(base64.b64decode),
}
