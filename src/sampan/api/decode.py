"""JSON into the form that objects of a kind have: what upstream gets by decoding into Go structs.

One walk by the schema does all of it: wrong types are refused in Go's words, unknown fields are
named and left out, empty values vanish or appear where Go would have it so, quantities, times and
bytes get their canonical text, and the tables' static defaults are filled in. The result shares
no dict or list with what was handed in, except below fields of any shape.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sampan.api import leaves, schema
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.schema import STRUCT_LIKE, Field, Type
from sampan.api.wire import embedding

UNKNOWN_MAX = 100
"""More unknown fields than that are not named."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An object in canonical form, and the paths that the schema does not know."""

    obj: Json
    unknown: tuple[str, ...] = ()

    @property
    def complaints(self) -> list[str]:
        """As strict decoding and warnings name them."""
        return [f'unknown field "{path}"' for path in self.unknown]


class Mismatch(Exception):
    """A value of the wrong JSON type, on its way up to where the path is known."""

    def __init__(self, got: str, go: str) -> None:
        super().__init__(got, go)
        self.got = got
        self.go = go
        self.struct = ""
        self.path: list[str] = []
        self.place: tuple[Json, str] | None = None
        """The field that is to blame, in the object that has it."""

    def text(self) -> str:
        if not self.path:
            return f"json: cannot unmarshal {self.got} into Go value of type {self.go}"
        path = ".".join(reversed(self.path))
        return (
            f"json: cannot unmarshal {self.got} into Go struct field "
            f"{self.struct}.{path} of type {self.go}"
        )


def decode(obj: Any, name: str) -> Decoded:
    """The object as the struct of that name; DecodeError with Go's words if it cannot be one."""
    unknown: list[str] = []
    try:
        out = _struct(obj, schema.of(name), unknown)
    except Mismatch as error:
        raise DecodeError(_worse(obj, name) or error.text()) from None
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    return Decoded(out, tuple(unknown[:UNKNOWN_MAX]))


def _worse(obj: Any, name: str) -> str:
    """A value that is of another type is only complained of when nothing else is wrong: a time
    that cannot be one ends the reading at once.
    """
    obj = copy.deepcopy(obj)
    for _ in range(UNKNOWN_MAX):
        try:
            _struct(obj, schema.of(name), [])
        except Mismatch as error:
            if error.place is None:
                break
            holder, key = error.place
            holder[key] = None
        except DecodeError as error:
            return str(error)
        else:
            break
    return ""


def normal(obj: Json, name: str) -> Json:
    """The canonical form only."""
    return decode(obj, name).obj


def _value(value: Any, kind: Type, unknown: list[str]) -> Any:
    return _DECODERS[kind.kind](value, kind, unknown)


def _struct(value: Any, kind: Type, unknown: list[str]) -> Json:
    if type(value) is not dict:
        raise Mismatch(json_name(value), kind.go)
    shape = kind.struct
    fields = shape.fields
    out: Json = {}
    key = ""
    try:
        for key, item in value.items():
            known = fields.get(key)
            if known is None:
                unknown.append(key)
                continue
            if item is None:
                continue
            before = len(unknown)
            plain = _DECODERS[known.type.kind](item, known.type, unknown)
            if len(unknown) > before:
                _prefix(unknown, before, key)
            if plain or known.pointer or known.omit == 0 or known.type.kind in STRUCT_LIKE:
                out[key] = plain if plain or not known.null else None
    except Mismatch as error:
        error.struct = error.struct or shape.go
        error.place = error.place or (value, key)
        error.path += [key, *embedding(shape.name, key)]
        raise
    for known in shape.filled:
        if known.name not in out:
            out[known.name] = _zero(known)
    return out


def _list(value: Any, kind: Type, unknown: list[str]) -> list[Any]:
    if type(value) is not list:
        raise Mismatch(json_name(value), kind.go)
    item_type = kind.of
    decoder = _DECODERS[item_type.kind]
    out = []
    for index, item in enumerate(value):
        before = len(unknown)
        if item is None:
            out.append(_empty(item_type))
            continue
        out.append(decoder(item, item_type, unknown))
        if len(unknown) > before:
            _prefix(unknown, before, f"[{index}]")
    return out


def _map(value: Any, kind: Type, unknown: list[str]) -> Json:
    if type(value) is not dict:
        raise Mismatch(json_name(value), kind.go)
    item_type = kind.of
    decoder = _DECODERS[item_type.kind]
    out = {}
    for key, item in value.items():
        if item is None:
            out[key] = "" if item_type.kind == "bytes" else _empty(item_type)
            continue
        before = len(unknown)
        out[key] = decoder(item, item_type, unknown)
        if len(unknown) > before:
            _prefix(unknown, before, key)
    if kind.go.endswith("ResourceList"):
        return {key: leaves.milli_quantity(item) for key, item in out.items()}
    return out


def _prefix(unknown: list[str], start: int, key: str) -> None:
    for index in range(start, len(unknown)):
        path = unknown[index]
        unknown[index] = f"{key}{path}" if path.startswith("[") else f"{key}.{path}"


def json_name(value: Any) -> str:
    """What Go calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "number"


# --- scalars: the right type passes at once, anything else gets Go's complaint


def _string(value: Any, kind: Type, unknown: list[str]) -> str:
    if type(value) is str:
        return value
    raise Mismatch(json_name(value), kind.go)


def _bool(value: Any, kind: Type, unknown: list[str]) -> bool:
    if type(value) is bool:
        return value
    raise Mismatch(json_name(value), kind.go)


def _int32(value: Any, kind: Type, unknown: list[str]) -> int:
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    raise Mismatch(_number_name(value), kind.go)


def _int64(value: Any, kind: Type, unknown: list[str]) -> int:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise Mismatch(_number_name(value), kind.go)


def _double(value: Any, kind: Type, unknown: list[str]) -> float:
    if type(value) is float or type(value) is int:
        return value
    raise Mismatch(json_name(value), kind.go)


def _int_or_string(value: Any, kind: Type, unknown: list[str]) -> int | str:
    if type(value) is str:
        return value
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    raise Mismatch(_number_name(value), "int32")


def _number_name(value: Any) -> str:
    name = json_name(value)
    return f"number {value!r}" if name == "number" else name


def _any(value: Any, kind: Type, unknown: list[str]) -> Any:
    return value


def _leaf(convert: Callable[[str], str], go: str) -> Callable[[Any, Type, list[str]], str]:
    def decoder(value: Any, kind: Type, unknown: list[str]) -> str:
        if type(value) is not str:
            raise Mismatch(json_name(value), go)
        return convert(value)

    return decoder


def _quantity(value: Any, kind: Type, unknown: list[str]) -> str:
    return leaves.quantity(value)


_DECODERS: dict[str, Callable[[Any, Type, list[str]], Any]] = {
    "struct": _struct,
    "list": _list,
    "map": _map,
    "string": _string,
    "bool": _bool,
    "int32": _int32,
    "int64": _int64,
    "double": _double,
    "int-or-string": _int_or_string,
    "any": _any,
    "raw": _any,
    "bytes": _leaf(leaves.base64_bytes, "[]uint8"),
    "time": _leaf(leaves.time, "string"),
    "microtime": _leaf(leaves.microtime, "string"),
    "quantity": _quantity,
}

_ZEROS: dict[str, Any] = {
    "string": "", "int32": 0, "int64": 0, "double": 0, "bool": False, "quantity": "0",
    "int-or-string": 0,
}  # fmt: skip
"""What an unset value without a pointer is written as; lists, maps, times and bytes are null."""


def _zero(known: Field) -> Any:
    if known.default is not None:
        return known.default
    return None if known.pointer else _empty(known.type)


def _empty(kind: Type) -> Any:
    """Go's zero value, written as JSON."""
    if kind.kind == "struct":
        return _struct({}, kind, [])
    return _ZEROS.get(kind.kind)
