"""How large values may be, by their schema: for the price of rules before there is any value.

Where a schema sets no bound, as much as fits into the largest request. Source: upstream's
`k8s.io/apiserver/pkg/cel/common/schemas.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.resources.custom.checks import INT_OR_STRING
from sampan.resources.custom.names import escaped
from sampan.resources.custom.prune import EMBEDDED

REQUEST = 3 << 20
"""Bytes of the largest request."""
_TEXT = 2
_FORMATS = {"duration": (3, 32), "date": (12, 12), "date-time": (21, 32)}
"""(least, most) characters, with their quotation marks."""
_NUMBERS = {"boolean": 4, "number": 1, "integer": 1}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a value: how many elements or characters at most, and how many bytes it takes at least."""

    most: int = 0
    least_bytes: int = 0
    items: Bounds | None = None
    keyed: bool = False
    fields: Mapping[str, Bounds] = field(default_factory=dict)

    def at(self, path: tuple[str, ...]) -> int | None:
        """The most elements of what is below; None where nothing is known."""
        found: Bounds | None = self
        for name in path:
            if found is None:
                return None
            if name in ("@items", "@values"):
                found = found.items
            elif name == "@keys":
                found = Bounds() if found.keyed else None
            else:
                found = found.fields.get(name)
        return found.most if found is not None else None

    @property
    def cardinality(self) -> int:
        """How often such a value may be in one request."""
        return REQUEST // (self.least_bytes + 1)


_NAMES = Bounds(
    0, 2, fields={"name": Bounds(REQUEST - 2, _TEXT), "generateName": Bounds(REQUEST - 2, _TEXT)}
)
_OBJECT = {
    "apiVersion": Bounds(REQUEST - 2, _TEXT), "kind": Bounds(REQUEST - 2, _TEXT),
    "metadata": _NAMES,
}  # fmt: skip


def bounds_of(schema: Json, *, root: bool = False) -> Bounds | None:
    """None for what rules do not see."""
    if schema.get(INT_OR_STRING):
        length = schema.get("maxLength")
        return Bounds(REQUEST - 2 if length is None else max(length, 0) * 4, 1)
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind == "object":
        return _object(schema, root=root or bool(schema.get(EMBEDDED)))
    if kind == "string":
        return _text(schema)
    return Bounds(0, _NUMBERS[kind]) if kind in _NUMBERS else None


def _list(schema: Json) -> Bounds | None:
    items = bounds_of(schema.get("items") or {})
    if items is None:
        return None
    most = schema.get("maxItems")
    fits = (REQUEST - 2) // (items.least_bytes + 1)
    return Bounds(fits if most is None else max(most, 0), 2, items)


def _object(schema: Json, *, root: bool) -> Bounds | None:
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        values = bounds_of(others)
        if values is None:
            return None
        most = schema.get("maxProperties")
        fits = (REQUEST - 2) // (values.least_bytes + 6)
        return Bounds(fits if most is None else max(most, 0), 2, values, keyed=True)
    fields: dict[str, Bounds] = {}
    size = 2
    needed = frozenset(schema.get("required") or ())
    for name, below in (schema.get("properties") or {}).items():
        bounds = bounds_of(below)
        if bounds is None:
            continue
        fields[escaped(name)] = fields[name] = bounds
        if name in needed and below.get("default") is None:
            size += len(name) + bounds.least_bytes + 4
    return Bounds(0, size, fields=fields | _OBJECT if root else fields)


def _text(schema: Json) -> Bounds:
    length, form = schema.get("maxLength"), schema.get("format", "")
    if form in _FORMATS:
        least, most = _FORMATS[form]
        return Bounds(most, least)
    if length is not None:
        return Bounds(max(length, 0) * (1 if form == "byte" else 4), _TEXT)
    values = [v for v in schema.get("enum") or () if isinstance(v, str)]
    if schema.get("enum") and form != "byte":
        return Bounds(max((len(value.encode()) for value in values), default=0), _TEXT)
    return Bounds(REQUEST - 2, _TEXT)
