"""Values with their types: which fields they have, how two differ, one merged into the other.

What counts as one field is the schema's: an atomic list or map is one, a list by keys has a field
per item, a set one per value. These are the semantics of structured merge and diff.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sampan.api.fieldset import FieldSet, Path, descend, key_element
from sampan.api.meta import Json
from sampan.api.schema import Type

DEDUCED = Type("deduced")
"""No schema: maps are taken apart, lists are one field."""

_ABSENT = object()


@dataclass(slots=True)
class Difference:
    """What became of the fields from one value to the next."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)

    def without(self, prefixes: tuple[Path, ...]) -> Difference:
        """Fields at or below the prefixes left out."""
        if not prefixes:
            return self

        def kept(paths: set[Path]) -> set[Path]:
            return {p for p in paths if not any(p[: len(x)] == x for x in prefixes)}

        return Difference(kept(self.added), kept(self.modified), kept(self.removed))


def fields_of(value: Any, kind: Type) -> FieldSet:
    """The fields that a configuration names."""
    found: set[Path] = set()
    _fields(value, kind, (), found)
    return frozenset(found)


def _fields(value: Any, kind: Type, path: Path, found: set[Path]) -> None:
    parts = _as_map(value, kind)
    if parts is not None:
        for key, item in parts.items():
            here = (*path, f"f:{key}")
            _fields(item, _member(kind, key), here, found)
            if item is None or item == {} or not _is_field(kind, key):
                found.add(here)
        return
    items = _as_items(value, kind)
    if items is None:
        if path and not (value is None and kind.kind in ("struct", "map", "list")):
            found.add(path)
        return
    for element, copies in items.items():
        _fields(copies[0], kind.of, (*path, element), found)
        found.add((*path, element))


def compare(old: Any, new: Any, kind: Type) -> Difference:
    """What it takes from the old to the new."""
    found = Difference()
    _compare(old, new, kind, (), found)
    return found


def _compare(old: Any, new: Any, kind: Type, path: Path, found: Difference) -> None:
    if old is new or old == new:
        return
    if not (
        _compare_maps(old, new, kind, path, found) or _compare_lists(old, new, kind, path, found)
    ):
        if old is _ABSENT:
            _note(found.added, path)
        elif new is _ABSENT:
            _note(found.removed, path)
        else:
            _note(found.modified, path)
        return
    if old is _ABSENT:
        _note(found.added, path)
    elif new is _ABSENT:
        _note(found.removed, path)


def _note(paths: set[Path], path: Path) -> None:
    """The object as a whole is nobody's."""
    if path:
        paths.add(path)


def _compare_maps(old: Any, new: Any, kind: Type, path: Path, found: Difference) -> bool:
    """False if the two are one field each."""
    before, after = _as_map(old, kind), _as_map(new, kind)
    if not before and not after:
        return False
    if (before is None and not _is_nothing(old)) or (after is None and not _is_nothing(new)):
        return False
    for key in {**(before or {}), **(after or {})}:
        left, right = (before or {}).get(key, _ABSENT), (after or {}).get(key, _ABSENT)
        _compare(left, right, _member(kind, key), (*path, f"f:{key}"), found)
    return True


def _compare_lists(old: Any, new: Any, kind: Type, path: Path, found: Difference) -> bool:
    before, after = _as_items(old, kind), _as_items(new, kind)
    if not before and not after:
        return False
    if (before is None and not _is_nothing(old)) or (after is None and not _is_nothing(new)):
        return False
    for element in {**(before or {}), **(after or {})}:
        left, right = (before or {}).get(element, []), (after or {}).get(element, [])
        here = (*path, element)
        if len(left) > 1 or (len(right) > 1 and left):
            if left != right:
                found.modified.add(here)
            continue
        one, other = left[0] if left else _ABSENT, right[0] if right else _ABSENT
        _compare(one, other, kind.of, here, found)
    return True


def merge(old: Any, new: Any, kind: Type) -> Any:
    """`new` laid over `old`, field by field; the arguments stay as they are."""
    before, after = _as_map(old, kind), _as_map(new, kind)
    if before is not None and after is not None:
        out = dict(before)
        for key, item in after.items():
            out[key] = merge(before[key], item, _member(kind, key)) if key in before else item
        return out
    left, right = _as_items(old, kind), _as_items(new, kind)
    if left and right is not None:
        return _merge_items(left, right, kind)
    return new


def _merge_items(left: dict[str, list[Any]], right: dict[str, list[Any]], kind: Type) -> list[Any]:
    """The new items in their order; what only the old list has keeps its place among the old."""
    out: list[Any] = []
    shared = [element for element in right if element in left]
    olds, news = list(left), list(right)
    while olds or news:
        if olds and olds[0] not in right:
            out += left[olds.pop(0)]
            continue
        if olds and news and olds[0] != news[0] and shared and shared[0] != olds[0]:
            olds.pop(0)
            continue
        if not news:
            break
        element = news.pop(0)
        if element in left:
            out.append(merge(left[element][0], right[element][0], kind.of))
            shared.remove(element)
            if olds and olds[0] == element:
                olds.pop(0)
        else:
            out += right[element]
    return out


def remove(value: Any, fields: FieldSet, kind: Type) -> Any:
    """Without these fields; a map or list from which everything went is null."""
    if not fields:
        return value
    parts = _as_map(value, kind)
    if parts is not None:
        out: Json = {}
        for key, item in parts.items():
            element = f"f:{key}"
            if (element,) in fields:
                continue
            out[key] = remove(item, _under(fields, element), _member(kind, key))
        return out or None
    items = _as_items(value, kind)
    if items is None:
        return value
    kept = []
    for element, copies in items.items():
        if (element,) not in fields:
            under = _under(fields, element)
            kept += [remove(item, under, kind.of) for item in copies]
    return kept or None


def _under(fields: FieldSet, element: str) -> FieldSet:
    return frozenset(path[1:] for path in fields if len(path) > 1 and path[0] == element)


def _is_nothing(value: Any) -> bool:
    return value is None or value is _ABSENT


def _as_map(value: Any, kind: Type) -> Json | None:
    """The members, if the value is taken apart."""
    if not isinstance(value, dict) or kind.atomic or kind.kind == "any":
        return None
    return value


def _as_items(value: Any, kind: Type) -> dict[str, list[Any]] | None:
    """The items by what they are called, if the list is taken apart."""
    if not isinstance(value, list) or kind.kind != "list" or kind.list_type == "atomic":
        return None
    out: dict[str, list[Any]] = {}
    for item in value:
        out.setdefault(key_element(item, kind), []).append(item)
    return out


def _is_field(kind: Type, key: str) -> bool:
    return kind.kind == "struct" and key in kind.struct.fields


def _member(kind: Type, key: str) -> Type:
    return descend(kind, f"f:{key}") or DEDUCED
