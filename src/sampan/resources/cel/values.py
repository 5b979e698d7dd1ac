"""CEL values in Python: what equals what, what is less, which type has it, how is it text.

int, uint → int, `Uint`; double → float; list, map, string, bytes, bool, null as they are;
timestamp and duration → datetime, timedelta; everything of the Kubernetes libraries is a small
class of its own with `cel_type`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_overload

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
UINT_MAX = (1 << 64) - 1


class Uint(int):
    """An unsigned integer: a number, but not an int."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type as a value: what `type(x)` gives."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Any = None
    present: bool = False


NOTHING = Optional()

_NAMES: dict[type, str] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes",
    list: "list", dict: "map", type(None): "null_type", datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration", Type: "type", Optional: "optional_type",
}  # fmt: skip


def type_name(value: Any) -> str:
    found = _NAMES.get(type(value))
    return found or str(getattr(value, "cel_type", "dyn"))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Numbers by value whatever their type; otherwise equal types and equal content."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and all(
            key in right and equal(value, right[key]) for key, value in left.items()
        )
    return type_name(left) == type_name(right) and bool(left == right)


def contains(items: Any, wanted: Any) -> bool:
    """The `in` operator: elements of a list, keys of a map."""
    if isinstance(items, list):
        return any(equal(item, wanted) for item in items)
    if isinstance(items, dict):
        return not isinstance(wanted, list | dict) and wanted in items
    raise no_such_overload()


def less(left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):
        return bool(left < right)
    if type(left) is type(right) and isinstance(left, str | bytes | bool | datetime | timedelta):
        return bool(left < right)
    raise no_such_overload()


def checked(number: int, like: Any = 0) -> int:
    """A result within 64 bits."""
    if isinstance(like, Uint):
        if not 0 <= number <= UINT_MAX:
            raise EvaluationError("return error for unsigned overflow")
        return Uint(number)
    if not INT_MIN <= number <= INT_MAX:
        raise EvaluationError("integer overflow")
    return number


def text(value: Any) -> str:
    """`string(value)`."""
    writer = _TEXTS.get(type(value))
    if writer is not None:
        return writer(value)
    if hasattr(value, "cel_type"):
        return str(value)
    raise no_such_overload()


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _double(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def timestamp_text(value: datetime) -> str:
    base = value.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return f"{base}{fraction}Z"


def duration_text(value: timedelta) -> str:
    """Seconds, with as many decimals as it takes: `90s`, `0.5s`."""
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    whole, fraction = divmod(micros, 1_000_000)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{sign}{whole}{tail}s"


_TEXTS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    str: str,
    float: _double,
    int: str,
    Uint: lambda value: str(int(value)),
    bytes: _decoded,
    datetime: timestamp_text,
    timedelta: duration_text,
}
