"""Lists and sets: the sums, orders and comparisons that the API server offers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from itertools import pairwise
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_overload
from sampan.resources.cel.loops import MAX_STEPS
from sampan.resources.cel.values import NOTHING, Optional, checked, contains, equal, less


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise no_such_overload()
    return value


def is_sorted(values: list[Any]) -> bool:
    return not any(less(after, before) for before, after in pairwise(values))


def total(values: list[Any]) -> Any:
    if not _list(values):
        return 0
    start: Any = timedelta() if isinstance(values[0], timedelta) else type(values[0])()
    result = sum(values, start)
    return checked(result, values[0]) if isinstance(values[0], int) else result


def least(values: list[Any]) -> Any:
    if not _list(values):
        raise EvaluationError("min called on empty list")
    return reduce(lambda best, value: value if less(value, best) else best, values)


def most(values: list[Any]) -> Any:
    if not _list(values):
        raise EvaluationError("max called on empty list")
    return reduce(lambda best, value: value if less(best, value) else best, values)


def covers(whole: list[Any], part: list[Any]) -> bool:
    return all(contains(_list(whole), item) for item in _list(part))


def intersects(left: list[Any], right: list[Any]) -> bool:
    return any(contains(_list(right), item) for item in _list(left))


def distinct(values: list[Any]) -> list[Any]:
    out: list[Any] = []
    for value in _list(values):
        if not any(equal(value, seen) for seen in out):
            out.append(value)
    return out


def flatten(values: list[Any], depth: int = 1) -> list[Any]:
    out: list[Any] = []
    for value in _list(values):
        out += flatten(value, depth - 1) if isinstance(value, list) and depth > 0 else [value]
    return out


def slice_of(values: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(_list(values)):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def numbers(count: int) -> list[int]:
    """0, 1, 2, ...: no longer than a loop may be."""
    if count > MAX_STEPS:
        raise EvaluationError("operation cancelled: actual cost limit exceeded")
    return list(range(count))


def ordered(values: list[Any]) -> list[Any]:
    return sorted(_list(values))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sets.contains": covers,
    "sets.equivalent": lambda a, b: covers(a, b) and covers(b, a),
    "sets.intersects": intersects,
    "lists.range": numbers,
}


def end_of(values: list[Any], at: int) -> Optional:
    return Optional(values[at], present=True) if _list(values) else NOTHING


METHODS: dict[str, Callable[..., Any]] = {
    "isSorted": is_sorted,
    "sum": total,
    "min": least,
    "max": most,
    "distinct": distinct,
    "flatten": flatten,
    "slice": slice_of,
    "sort": ordered,
    "first": lambda values: end_of(values, 0),
    "last": lambda values: end_of(values, -1),
}
