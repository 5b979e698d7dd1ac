"""Ownership after the two commonest writes, without making sets of paths on the way: a create of
an object that nobody owns anything of yet, and an update of fields that the writer owns already.

`apply.track` says what it must be, for every write; these give the same, or None.
"""

from __future__ import annotations

from typing import Any

from sampan.api.apply import Writer
from sampan.api.fieldset import Path, key_element
from sampan.api.managed import UPDATE, in_order
from sampan.api.meta import Json
from sampan.api.schema import Type
from sampan.api.typed import DEDUCED, compare

SERVER_KEPT = (
    "f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:clusterName",
    "f:generation", "f:managedFields", "f:resourceVersion",
)  # fmt: skip

_ABSENT = object()
_NOBODYS = frozenset({("f:apiVersion",), ("f:kind",), ("f:metadata",)}) | {
    ("f:metadata", name) for name in SERVER_KEPT
}


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


def unmoved(old: Json, new: Json, kind: Type, writer: Writer) -> list[Json] | None:
    """The entries after an update that takes no field from anybody: only the writer's time is
    new, if that. None when more has changed; then `apply.track` must be asked.
    """
    entries = old["metadata"].get("managedFields")
    if not entries or new["metadata"].get("managedFields") not in (None, entries):
        return None
    try:
        change = compare(_bare(old), _bare(new), kind).without(writer.ignored)
    except KeyError:
        return None
    touched = change.added | change.modified
    taken = touched - _NOBODYS
    mine = next((entry for entry in entries if _is_of(entry, writer)), None)
    others = [entry for entry in entries if entry is not mine]
    if change.removed or any(_holds(entry, path) for entry in others for path in touched):
        return None
    if not touched:
        return list(entries)
    if not taken or mine is None or not all(_holds(mine, path) for path in taken):
        return None
    return in_order([*others, {**mine, "time": writer.now}])


def _bare(obj: Json) -> Json:
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _is_of(entry: Json, writer: Writer) -> bool:
    return (
        entry.get("manager") == writer.manager
        and entry.get("operation") == UPDATE
        and entry.get("apiVersion") == writer.api_version
        and entry.get("subresource", "") == writer.subresource
    )


def _holds(entry: Json, path: Path) -> bool:
    """Whether an entry has a path as a member of its own."""
    node = entry.get("fieldsV1") or {}
    for element in path:
        below = node.get(element)
        if below is None:
            return False
        node = below
    return not node or "." in node
