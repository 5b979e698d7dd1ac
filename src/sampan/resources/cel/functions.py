"""The functions and methods of the language; the libraries stand in files of their own."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sampan.resources.cel import kubernetes, lists, strings, times
from sampan.resources.cel.errors import EvaluationError, no_such_overload
from sampan.resources.cel.values import (
    NOTHING,
    Optional,
    Type,
    Uint,
    checked,
    contains,
    equal,
    is_number,
    less,
    text,
    type_name,
)

Function = Callable[..., Any]

_MOMENTS = (datetime, timedelta)


def _arithmetic(name: str) -> Function:
    """`+ - *` of numbers of one type."""
    work: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
    }

    def calculate(left: Any, right: Any) -> Any:
        if type(left) is not type(right) or not is_number(left):
            raise no_such_overload()
        result = work[name](float(left), right) if isinstance(left, float) else None
        if result is not None:
            return result
        return checked(work[name](int(left), int(right)), left)

    return calculate


_sum, _difference, _product = _arithmetic("+"), _arithmetic("-"), _arithmetic("*")


def add(left: Any, right: Any) -> Any:
    if is_number(left):
        return _sum(left, right)
    joins = isinstance(left, str | bytes | list) and type(left) is type(right)
    if joins or (isinstance(left, _MOMENTS) and isinstance(right, _MOMENTS)):
        return operator.add(left, right)
    raise no_such_overload()


def subtract(left: Any, right: Any) -> Any:
    if isinstance(left, _MOMENTS) and isinstance(right, _MOMENTS):
        return operator.sub(left, right)
    return _difference(left, right)


def divide(left: Any, right: Any) -> Any:
    if type(left) is not type(right) or not is_number(left):
        raise no_such_overload()
    if isinstance(left, float):
        return left / right if right else math.copysign(math.inf, left) if left else math.nan
    if not right:
        raise EvaluationError("division by zero")
    return checked(_truncated(left, right), left)


def modulo(left: Any, right: Any) -> Any:
    if type(left) is not type(right) or not is_number(left) or isinstance(left, float):
        raise no_such_overload()
    if not right:
        raise EvaluationError("modulus by zero")
    return checked(int(left) - _truncated(left, right) * int(right), left)


def _truncated(left: int, right: int) -> int:
    quotient = abs(int(left)) // abs(int(right))
    return quotient if (left < 0) == (right < 0) else -quotient


def negate(value: Any) -> Any:
    if isinstance(value, bool | Uint) or not is_number(value):
        raise no_such_overload()
    return -value if isinstance(value, float) else checked(-value)


def invert(value: Any) -> bool:
    if not isinstance(value, bool):
        raise no_such_overload()
    return not value


def size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise no_such_overload()


def inconvertible(wanted: str) -> EvaluationError:
    """Text that says nothing of the kind wanted."""
    return EvaluationError(f"type conversion error from 'string' to '{wanted}'")


def to_int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        if re.fullmatch("[+-]?[0-9]+", value) is None:
            raise inconvertible("int")
        return checked(int(value))
    if not is_number(value):
        raise no_such_overload()
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationError("integer overflow")
    return checked(int(value))


def to_uint(value: Any) -> Uint:
    if isinstance(value, str):
        if not value.isdigit():
            raise inconvertible("uint")
        return Uint(checked(int(value), Uint()))
    if not is_number(value):
        raise no_such_overload()
    return Uint(checked(int(value), Uint()))


def to_double(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise inconvertible("double") from None
    if not is_number(value):
        raise no_such_overload()
    return float(value)


def to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise inconvertible("bool")


def to_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def matches(value: Any, expression: Any) -> bool:
    if not isinstance(value, str) or not isinstance(expression, str):
        raise no_such_overload()
    return strings.pattern(expression).search(value) is not None


def optional_or(value: Optional, other: Any) -> Any:
    if not isinstance(value, Optional):
        raise no_such_overload()
    return value if value.present else other


def optional_or_value(value: Optional, other: Any) -> Any:
    if not isinstance(value, Optional):
        raise no_such_overload()
    return value.value if value.present else other


def optional_value(value: Any) -> Any:
    if isinstance(value, Optional):
        if not value.present:
            raise EvaluationError("optional.none() dereference")
        return value.value
    raise no_such_overload()


def optional_if_not_zero(value: Any) -> Optional:
    empty = value is None or value in (0, "", b"", False) or value == [] or value == {}
    return NOTHING if empty else Optional(value, present=True)


TYPES = {
    name: Type(name)
    for name in ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type",
                 "uint", "google.protobuf.Timestamp", "google.protobuf.Duration", "net.IP",
                 "net.CIDR", "kubernetes.Quantity", "kubernetes.URL", "kubernetes.Semver",
                 "kubernetes.NamedFormat", "optional_type")
}  # fmt: skip

FUNCTIONS: dict[str, Function] = {
    "_+_": add,
    "_-_": subtract,
    "_*_": _product,
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "!_": invert,
    "_==_": equal,
    "_!=_": lambda a, b: not equal(a, b),
    "_<_": less,
    "_<=_": lambda a, b: less(a, b) or equal(a, b),
    "_>_": lambda a, b: less(b, a),
    "_>=_": lambda a, b: less(b, a) or equal(a, b),
    "@in": lambda wanted, items: contains(items, wanted),
    "size": size,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "bool": to_bool,
    "string": text,
    "bytes": to_bytes,
    "dyn": lambda value: value,
    "type": lambda value: Type(type_name(value)),
    "matches": matches,
    "optional.of": lambda value: Optional(value, present=True),
    "optional.none": lambda: NOTHING,
    "optional.ofNonZeroValue": optional_if_not_zero,
    **times.FUNCTIONS,
    **lists.FUNCTIONS,
    **strings.FUNCTIONS,
    **kubernetes.FUNCTIONS,
}

METHODS: dict[str, Function] = {
    "size": size,
    "matches": matches,
    "hasValue": lambda value: value.present,
    "value": optional_value,
    "orValue": optional_or_value,
    "or": optional_or,
    **times.METHODS,
    **strings.METHODS,
    **lists.METHODS,
}
