"""What calls cost at most, and how large their results are: cel-go's and the API server's tables.

Sources: cel-go `checker/cost.go`, `k8s.io/apiserver/pkg/cel/library/cost.go`. Which rules a cluster
takes hangs on these numbers, so they are upstream's to the digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

MOST = 2**64 - 1
STRING, REGEX = 0.1, 0.25
"""Per character of a text, and of a regular expression."""
_NAME_FORMAT_REGEX = 128


class Size(NamedTuple):
    """How many elements or characters something may have."""

    least: int = 0
    most: int = MOST

    def union(self, other: Size) -> Size:
        return Size(min(self.least, other.least), max(self.most, other.most))

    def plus(self, other: Size) -> Size:
        return Size(added(self.least, other.least), added(self.most, other.most))

    def times(self, other: Size) -> Size:
        return Size(multiplied(self.least, other.least), multiplied(self.most, other.most))


UNKNOWN = Size()


class Sized(NamedTuple):
    """An argument: its size, the name of its kind, and for lists the size and kind of elements."""

    size: Size
    kind: str
    item: Size = UNKNOWN
    item_kind: str = ""
    number: int | None = None
    """Of a literal."""


class Estimate(NamedTuple):
    """Beyond the cost of the arguments."""

    cost: int
    size: Size | None = None


Method = Callable[[Sized, list[Sized]], Estimate]
Function = Callable[[list[Sized]], Estimate]


def added(*values: int) -> int:
    return min(sum(values), MOST)


def multiplied(one: int, other: int) -> int:
    return min(one * other, MOST)


def scaled(value: int, factor: float) -> int:
    """Rounded up."""
    return min(math.ceil(float(value) * factor), MOST) if value < MOST else (
        MOST if factor >= 1 else math.ceil(float(MOST) * factor)
    )  # fmt: skip


def estimate(name: str, target: Sized | None, args: list[Sized]) -> Estimate:
    """Of the function or method; one that is not in the tables costs 1."""
    if target is not None and name in _METHODS:
        return _METHODS[name](target, args)
    if target is None and name in _FUNCTIONS:
        return _FUNCTIONS[name](args)
    return Estimate(1)


def equality(left: Sized, right: Sized) -> Estimate:
    return Estimate(scaled(min(left.size.most, right.size.most), STRING))


def _order(args: list[Sized]) -> Estimate:
    kinds = {args[0].kind, args[1].kind}
    if kinds <= {"string", "dyn"} or kinds <= {"bytes", "dyn"}:
        return Estimate(max(equality(*args).cost, 1 if "dyn" in kinds else 0))
    return Estimate(1)


def _plus(args: list[Sized]) -> Estimate:
    kinds = {args[0].kind, args[1].kind}
    size = args[0].size.plus(args[1].size)
    if "list" in kinds:
        return Estimate(1, size)
    if kinds <= {"string", "dyn"} or kinds <= {"bytes", "dyn"}:
        return Estimate(max(scaled(size.most, STRING), 1 if "dyn" in kinds else 0), size)
    return Estimate(1)


def _within(args: list[Sized]) -> Estimate:
    return Estimate(1 if args[1].kind == "map" else args[1].size.most)


def _matches(target: Sized, args: list[Sized]) -> Estimate:
    text = scaled(added(target.size.most, 1), STRING)
    return Estimate(multiplied(text, scaled(args[0].size.most, REGEX)))


def _contains(target: Sized, args: list[Sized]) -> Estimate:
    text, part = (scaled(one.size.most, STRING) for one in (target, args[0]))
    return Estimate(multiplied(text, part))


def _edge(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(scaled(args[0].size.most, STRING))


def _walk(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(scaled(target.size.most, STRING))


def _walk_keeping(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(scaled(target.size.most, STRING), target.size)


def _parse(args: list[Sized]) -> Estimate:
    return Estimate(scaled(args[0].size.most, STRING))


def _parse_keeping(args: list[Sized]) -> Estimate:
    return Estimate(scaled(args[0].size.most, STRING), args[0].size)


def _replace(target: Sized, args: list[Sized]) -> Estimate:
    size, old, new = target.size, args[0].size, args[1].size
    most = least = 0
    kept_most = kept_least = 0
    if old.least == 0:
        most, kept_most = added(size.most, 1), size.most
    elif new.most <= old.least:
        kept_most = size.most
    else:
        most = -(-size.most // old.least)
    if old.most == 0:
        least, kept_least = added(size.least, 1), size.least
    elif old.most <= new.least:
        kept_least = size.least
    else:
        least = -(-size.least // old.most)
    result = Size(least, most).times(new).plus(Size(kept_least, kept_most))
    return Estimate(scaled(size.most, 2 * STRING), result)


def _split(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(scaled(target.size.most, 2 * STRING), Size(0, target.size.most))


def _join(target: Sized, args: list[Sized]) -> Estimate:
    size = target.size.times(target.item)
    if args:
        between = Size(max(target.size.least - 1, 0), max(target.size.most - 1, 0))
        size = size.plus(args[0].size.times(between))
    return Estimate(scaled(size.most, STRING), size)


def _find(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(_matches(target, args).cost, Size(0, target.size.most))


def _compare_all(target: Sized, args: list[Sized]) -> Estimate:
    """Every element with another one; or, in a text, a search."""
    if target.kind == "string":
        return _walk(target, args)
    each = 1
    if target.item_kind in ("string", "bytes"):
        each = added(each, scaled(target.item.most, STRING))
    return Estimate(multiplied(target.size.most, each))


def _contains_ip(target: Sized, args: list[Sized]) -> Estimate:
    text = scaled(args[0].size.most, STRING) if args[0].kind == "string" else 0
    return Estimate(added(scaled(32, STRING), text))


def _contains_cidr(target: Sized, args: list[Sized]) -> Estimate:
    text = scaled(args[0].size.most, STRING) if args[0].kind == "string" else 0
    return Estimate(added(scaled(32, STRING), scaled(16, STRING), 1, text))


def _validate(target: Sized, args: list[Sized]) -> Estimate:
    return Estimate(scaled(scaled(args[0].size.most, STRING), _NAME_FORMAT_REGEX * REGEX))


def _bytes_of(args: list[Sized]) -> Estimate:
    size = args[0].size
    if args[0].kind != "string":
        return Estimate(1)
    return Estimate(scaled(size.most, STRING), Size(size.least, multiplied(size.most, 4)))


def _text_of(args: list[Sized]) -> Estimate:
    size = args[0].size
    if args[0].kind not in ("bytes", "dyn"):
        return Estimate(1)
    return Estimate(max(scaled(size.most, STRING), 1), Size(size.least // 4, size.most))


def _new_list(size: Size, factor: float = 1) -> Estimate:
    """A call that walks over a list and makes one."""
    return Estimate(added(scaled(size.most, factor), 11), size)


def _sort(target: Sized, args: list[Sized]) -> Estimate:
    factor = 2 + STRING if target.item_kind in ("string", "bytes") else 2
    return _new_list(target.size.times(target.size), factor)


def _slice(target: Sized, args: list[Sized]) -> Estimate:
    start = args[0].number or 0
    end = target.size.most if args[1].number is None else args[1].number
    count = max(end - start, 0)
    return _new_list(Size(count, count))


def _range(args: list[Sized]) -> Estimate:
    count = MOST if args[0].number is None else max(args[0].number, 0)
    return _new_list(Size(count, count))


def _flatten(target: Sized, args: list[Sized]) -> Estimate:
    depth = (MOST if args[0].number is None else args[0].number) if args else 1
    return _new_list(target.size, float(depth))


def _sets(factor: int) -> Function:
    def estimated(args: list[Sized]) -> Estimate:
        size = args[0].size.times(args[1].size)
        return Estimate(added(scaled(size.most, factor), 1))

    return estimated


_METHODS: dict[str, Method] = {
    "matches": _matches, "contains": _contains, "startsWith": _edge, "endsWith": _edge,
    "lowerAscii": _walk_keeping, "upperAscii": _walk_keeping, "substring": _walk_keeping,
    "trim": _walk_keeping, "format": _walk, "replace": _replace, "split": _split, "join": _join,
    "sort": _sort, "slice": _slice, "flatten": _flatten,
    "reverse": lambda target, args: _new_list(target.size),
    "distinct": lambda target, args: _new_list(target.size.times(target.size), 2),
    "find": _find, "findAll": _find, "containsIP": _contains_ip, "containsCIDR": _contains_cidr,
    "validate": _validate, "check": lambda target, args: Estimate(350_000),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _compare_all),
}  # fmt: skip
_FUNCTIONS: dict[str, Function] = {
    "@in": _within, "_+_": _plus, "bytes": _bytes_of, "string": _text_of,
    "_==_": lambda args: equality(*args), "_!=_": lambda args: equality(*args),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _order),
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _parse_keeping),
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"), _parse
    ),
    "ip.isCanonical": lambda args: Estimate(scaled(args[0].size.most, 2 * STRING)),
    "matches": lambda args: _matches(args[0], args[1:]), "lists.range": _range,
    "sets.contains": _sets(1), "sets.intersects": _sets(1), "sets.equivalent": _sets(2),
}  # fmt: skip
