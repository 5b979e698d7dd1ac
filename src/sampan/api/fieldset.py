"""Sets of fields: who owns what, as managedFields writes it down.

A path is a tuple of FieldsV1's own words, from the top:

    ("f:spec", "f:containers", 'k:{"name":"web"}', "f:image")    .spec.containers[name="web"].image

and a set of fields is a frozenset of paths, so that union, intersection and difference are plain
Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sampan.api.meta import Json
from sampan.api.schema import Field, Type

Path = tuple[str, ...]
FieldSet = frozenset[Path]

EMPTY: FieldSet = frozenset()


def from_fields_v1(fields: Json) -> FieldSet:
    """The set that FieldsV1 stands for."""
    found: set[Path] = set()
    _collect(fields, (), found)
    return frozenset(found)


def _collect(fields: Json, path: Path, found: set[Path]) -> None:
    for element, below in fields.items():
        if element == ".":
            found.add(path)
        elif below:
            _collect(below, (*path, element), found)
        else:
            found.add((*path, element))


def to_fields_v1(fields: FieldSet) -> Json:
    """FieldsV1: a leaf is `{}`, a member with children has `.`."""
    out: Json = {}
    for path in sorted(fields):
        node = out
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    _tidy(out)
    return out


def _tidy(node: Json) -> None:
    """Takes the dot from leaves."""
    for child in node.values():
        if len(child) == 1 and "." in child:
            child.clear()
        elif child:
            _tidy(child)


def in_order(fields: FieldSet) -> list[Path]:
    """As upstream walks a set: at each level the members first, then what is below."""
    return sorted(
        fields,
        key=lambda path: tuple((depth < len(path), part) for depth, part in enumerate(path, 1)),
    )


def below(fields: FieldSet, prefixes: Iterable[Path]) -> FieldSet:
    """The members at or below any of the prefixes."""
    wanted = tuple(prefixes)
    return frozenset(p for p in fields if any(p[: len(prefix)] == prefix for prefix in wanted))


def with_named_parents(fields: FieldSet, kind: Type) -> FieldSet:
    """As well the struct fields that lie above the members (not the keys of maps)."""
    out = set(fields)
    for path in fields:
        step: Type | None = kind
        for depth in range(1, len(path)):
            named = step is not None and step.kind == "struct"
            if named and step is not None and path[depth - 1][2:] in step.struct.fields:
                out.add(path[:depth])
            step = descend(step, path[depth - 1])
    return frozenset(out)


def descend(kind: Type | None, element: str) -> Type | None:
    """The type below a path element; None where the schema says nothing."""
    if kind is None:
        return None
    if kind.kind == "struct":
        field = kind.struct.fields.get(element[2:])
        return field.type if field else None
    return kind.item


def text(path: Path) -> str:
    """`.spec.containers[name="web"].image`, as messages have it."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    sign, rest = element[:2], element[2:]
    if sign == "f:":
        return f".{rest}"
    if sign == "k:":
        keys = orjson.loads(rest)
        return "[" + ",".join(f"{k}={_value_text(v)}" for k, v in sorted(keys.items())) + "]"
    if sign == "v:":
        return f"[={_value_text(orjson.loads(rest))}]"
    return f"[{rest}]"


def _value_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _default(known: Field) -> Any:
    """What upstream's schema gives a key that is missing: a field that is always written has the
    zero value of its kind.
    """
    if known.default is None and not known.pointer and known.omit == 0:
        return {"string": "", "bool": False}.get(known.type.kind, 0)
    return known.default


def key_element(item: Any, kind: Type) -> str:
    """What a list item is called; KeyError names the keys, all of which it lacks."""
    if kind.list_type == "set":
        return "v:" + orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
    fields = kind.of.struct.fields if kind.of.kind == "struct" else {}
    keys: Json = {}
    for key in kind.keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            known = fields.get(key)
            value = _default(known) if known else None
            if value is None:
                continue
        keys[key] = value
    if not keys and kind.keys:
        raise KeyError(kind.keys)
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()
