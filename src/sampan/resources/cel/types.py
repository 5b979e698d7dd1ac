"""What the checker knows of a value before it is there: a kind, its elements, its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """`fields` is None where any field may be asked for."""

    name: str
    items: Kind | None = None
    fields: Mapping[str, Kind] | None = None

    def __str__(self) -> str:
        if self.name == "list":
            return f"list({self.items or DYN})"
        if self.name == "map":
            return f"map(string, {self.items or DYN})"
        if self.name == OPTIONAL:
            return f"{OPTIONAL}({self.items or DYN})"
        return _SHOWN.get(self.name, self.name)


OPTIONAL = "optional_type"
_SHOWN = {
    "null_type": "null", "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}  # fmt: skip
"""How cel-go writes them in messages."""

DYN = Kind("dyn")
BOOL = Kind("bool")
INT = Kind("int")
UINT = Kind("uint")
DOUBLE = Kind("double")
STRING = Kind("string")
BYTES = Kind("bytes")
NULL = Kind("null_type")
TIMESTAMP = Kind("google.protobuf.Timestamp")
DURATION = Kind("google.protobuf.Duration")

SCALARS = frozenset(("bool", "int", "uint", "double", "string", "bytes", "null_type"))


def typed(kind: Kind) -> str:
    """The type's own name, where messages do not shorten it."""
    return kind.name if kind.name in _SHOWN else str(kind)


def list_of(items: Kind) -> Kind:
    return Kind("list", items=items)


def map_of(values: Kind) -> Kind:
    return Kind("map", items=values)


def optional_of(kind: Kind) -> Kind:
    return Kind(OPTIONAL, items=kind)


def object_of(fields: Mapping[str, Kind], name: str = "object") -> Kind:
    return Kind(name, fields=fields)
