"""The ownership that a create leaves, in one walk.

`apply.track` says what it must be, for every write; this gives the same for the commonest of all,
a new object that nobody owns anything of yet, without making sets of paths on the way.
"""

from __future__ import annotations

from typing import Any

from sampan.api.fieldset import Path, key_element
from sampan.api.meta import Json
from sampan.api.schema import Type
from sampan.api.typed import DEDUCED

SERVER_KEPT = (
    "f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:clusterName",
    "f:generation", "f:managedFields", "f:resourceVersion",
)  # fmt: skip

_ABSENT = object()


def fields_of_new(new: Json, empty: Json, kind: Type, ignored: tuple[Path, ...]) -> Json:
    """FieldsV1 of everything that the new object sets; empty when it sets nothing."""
    try:
        found = _walk(empty, new, kind) or {}
    except KeyError:
        # A list item lacks its key: upstream gives up on the whole object.
        return {}
    found.pop("f:apiVersion", None)
    found.pop("f:kind", None)
    meta = found.get("f:metadata")
    if meta is not None:
        for name in SERVER_KEPT:
            meta.pop(name, None)
        meta.pop(".", None)
        if not meta:
            del found["f:metadata"]
    for path in ignored:
        _forget(found, path)
    return found


def _is_apart(kind: Type) -> bool:
    """A list whose items have owners of their own."""
    return kind.kind == "list" and kind.list_type != "atomic"


def _walk(old: Any, new: Any, kind: Type) -> Json | None:
    """The fields below; `{}` for a leaf, None where nothing was set."""
    if old is new or old == new:
        return None
    found: Json | None = None
    if isinstance(new, dict):
        if new and not kind.atomic and kind.kind != "any" and _is_map_or_nothing(old):
            found = _members(old, new, kind)
    elif isinstance(new, list) and new and _is_apart(kind) and (old is _ABSENT or not old):
        found = _items(new, kind)
    if found is None:
        return {}
    if old is _ABSENT and found:
        found["."] = {}
    return found or (None if old is not _ABSENT else {})


def _is_map_or_nothing(old: Any) -> bool:
    return old is _ABSENT or old is None or isinstance(old, dict)


def _members(old: Any, new: Json, kind: Type) -> Json:
    found: Json = {}
    before = old if isinstance(old, dict) else {}
    fields = kind.struct.fields if kind.kind == "struct" else None
    item = kind.item or DEDUCED
    for key, value in new.items():
        if fields is not None:
            field = fields.get(key)
            inner = field.type if field is not None else DEDUCED
        else:
            inner = item
        below = _walk(before.get(key, _ABSENT), value, inner)
        if below is not None:
            found[f"f:{key}"] = below
    return found


def _items(new: list[Any], kind: Type) -> Json:
    found: Json = {}
    inner = kind.of
    for value in new:
        element = key_element(value, kind)
        if element not in found:
            found[element] = _walk(_ABSENT, value, inner) or {}
    return found


def _forget(fields: Json, path: Path) -> None:
    """Take a path out, and what is left empty above it."""
    if len(path) > 1:
        below = fields.get(path[0])
        if below:
            _forget(below, path[1:])
            if not below:
                del fields[path[0]]
    else:
        fields.pop(path[0], None)
