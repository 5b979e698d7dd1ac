"""Dropping what a schema does not know, as a copy, with the paths of what was dropped."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from sampan.api import decode
from sampan.api.errors import FieldError
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
OF_OBJECTS = ("apiVersion", "kind", "metadata")


def prune(obj: Json, schema: Json) -> tuple[Json, list[str]]:
    """A root object. Raises `DecodeError` for metadata that is none."""
    unknown = _Unknown()
    pruned: Json = _object(obj, schema, "", unknown, embedded=True)
    return pruned, [*unknown.of_root, *sorted(unknown.fields), *unknown.of_metadata]


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Paths of what was dropped. Upstream looks through the object's own metadata first, and
    through that of objects inside it last.
    """

    of_root: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    of_metadata: list[str] = field(default_factory=list)


def _value(value: Any, schema: Json, path: str, unknown: _Unknown) -> Any:
    if isinstance(value, dict):
        embedded = bool(schema.get(EMBEDDED))
        return _object(value, schema, path, unknown, embedded=embedded)
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, dict):
            return copy.deepcopy(value)
        return [_value(each, items, f"{path}[{at}]", unknown) for at, each in enumerate(value)]
    return value


def _object(value: Json, schema: Json, path: str, unknown: _Unknown, *, embedded: bool) -> Json:
    known = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    keep = bool(schema.get(PRESERVE)) or others is True
    out: Json = {}
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if embedded and key in OF_OBJECTS:
            out[key] = _of_object(key, item, here, unknown)
        elif key in known:
            out[key] = _value(item, known[key], here, unknown)
        elif isinstance(others, dict):
            out[key] = _value(item, others, here, unknown)
        elif keep:
            out[key] = copy.deepcopy(item)
        else:
            unknown.fields.append(here)
    return out


def _of_object(key: str, item: Any, path: str, unknown: _Unknown) -> Any:
    """What every object has; inside another one, its faults are told with their place."""
    inside = path != key
    if key != "metadata":
        if inside and not isinstance(item, str):
            raise _refused(path, item, "must be a string")
        return item
    if not inside and not isinstance(item, dict):
        return item
    try:
        # As upstream reads it: what it wrote anew, with sorted keys.
        ordered = dict(sorted(item.items())) if inside and isinstance(item, dict) else item
        found = decode.decode(ordered, "meta.v1.ObjectMeta")
    except DecodeError as error:
        raise (_refused(path, item, str(error)) if inside else error) from None
    told = unknown.of_metadata if inside else unknown.of_root
    told.extend(f"{path}.{each}" for each in found.unknown)
    return found.obj


def _refused(path: str, value: Any, says: str) -> DecodeError:
    shown = json.loads(json.dumps(value, sort_keys=True))
    return DecodeError(str(FieldError("Invalid", path, shown, says)))
