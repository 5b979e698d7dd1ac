"""The kinds of built-in objects as expressions see them, from the generated shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from sampan.api import schema
from sampan.resources.cel import types
from sampan.resources.cel.types import DYN, Kind
from sampan.resources.custom.names import escaped

_PLAIN = {
    "string": types.STRING, "int32": types.INT, "int64": types.INT, "bool": types.BOOL,
    "double": types.DOUBLE, "float": types.DOUBLE, "bytes": types.BYTES,
    "time": types.TIMESTAMP, "microtime": types.TIMESTAMP,
}  # fmt: skip
_OPEN = Kind("object", fields={})
"""An embedded object: none of its fields is known, and so none may be named."""


class _Fields(Mapping[str, Kind]):
    """Built when they are asked for: a Pod alone has thousands. A shape within itself (as
    JSONSchemaProps) has no fields there, as where upstream cuts the circle.
    """

    def __init__(self, struct: schema.Struct, path: str, above: frozenset[str]) -> None:
        self._known = {
            escaped(name): field.type
            for name, field in struct.fields.items()
            if not _hidden(field.type)
        }
        self._path, self._above = path, above | {struct.name}
        self._made: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._made:
            where = f"{self._path}.{name}"
            self._made[name] = _kind(self._known[name], where, self._above)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@cache
def kind_of(group: str, version: str, name: str) -> Kind | None:
    """The kind behind an apiVersion and kind; None for one that is not built in."""
    struct = schema.by_gvk(group, version, name)
    return None if struct is None else Kind(name, fields=_Fields(struct, name, frozenset()))


def metadata(path: str) -> Kind:
    """What every object has."""
    meta = schema.struct("meta.v1.ObjectMeta")
    return Kind(f"{path}.metadata", fields=_Fields(meta, f"{path}.metadata", frozenset()))


def _kind(of: schema.Type, path: str, above: frozenset[str]) -> Kind:
    if of.kind == "list":
        return types.list_of(_kind(of.of, f"{path}.@idx", above))
    if of.kind == "map":
        return types.map_of(_kind(of.of, f"{path}.@elem", above))
    if of.kind == "struct":
        struct = of.struct
        if struct.name in above:
            return Kind(path, fields={})
        return Kind(path, fields=_Fields(struct, path, above))
    return _OPEN if of.kind in ("raw", "any") else _PLAIN.get(of.kind, DYN)


def _hidden(of: schema.Type) -> bool:
    """Quantities have no one type in upstream's schemas, and what has none is not shown to
    expressions; nor is plain JSON. (Only int-or-string is anything.)
    """
    if of.kind in ("list", "map"):
        return _hidden(of.of)
    return of.kind == "quantity" or (of.kind == "any" and of.go != "v1.FieldsV1")
