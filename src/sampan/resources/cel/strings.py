"""Methods of strings, regular expressions, `join` and `format`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_overload
from sampan.resources.cel.values import Type, text
from sampan.std import goregexp

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_ASCII_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
_VERB = re.compile(r"%(?:\.(\d+))?([a-zA-Z%])")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise no_such_overload()
    return value


def char_at(value: str, at: int) -> str:
    if not 0 <= at <= len(_string(value)):
        raise EvaluationError(f"index out of range: {at}")
    return value[at : at + 1]


def index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((at for at, item in enumerate(value) if item == wanted), -1)
    if not 0 <= start <= len(_string(value)):
        raise EvaluationError(f"index out of range: {start}")
    return _string(value).find(_string(wanted), start)


def last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return max((at for at, item in enumerate(value) if item == wanted), default=-1)
    end = len(_string(value)) if start is None else start + len(wanted)
    return _string(value).rfind(_string(wanted), 0, end)


def replace(value: str, old: str, new: str, count: int = -1) -> str:
    return _string(value).replace(_string(old), _string(new), count)


def split(value: str, separator: str, most: int = -1) -> list[str]:
    _string(value), _string(separator)
    if most == 0:
        return []
    if most == 1:
        return [value]
    if separator == "":
        parts = list(value)
        return parts if most < 0 else [*parts[: most - 1], "".join(parts[most - 1 :])]
    return value.split(separator, most - 1 if most > 0 else -1)


def substring(value: str, start: int, end: int | None = None) -> str:
    last = len(_string(value)) if end is None else end
    if not 0 <= start <= len(value):
        raise EvaluationError(f"index out of range: {start}")
    if not 0 <= last <= len(value):
        raise EvaluationError(f"index out of range: {last}")
    if start > last:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {last}")
    return value[start:last]


def join(values: list[str], separator: str = "") -> str:
    if not isinstance(values, list):
        raise no_such_overload()
    return separator.join(_string(value) for value in values)


def reverse(value: Any) -> Any:
    return value[::-1]


def pattern(expression: str) -> re.Pattern[str]:
    try:
        return goregexp.compiled(_string(expression))
    except goregexp.BadPattern as error:
        raise EvaluationError(str(error)) from None


def find(value: str, expression: str) -> str:
    match = pattern(expression).search(_string(value))
    return match.group() if match else ""


def find_all(value: str, expression: str, most: int = -1) -> list[str]:
    found = [match.group() for match in pattern(expression).finditer(_string(value))]
    return found if most < 0 else found[:most]


def quote(value: str) -> str:
    return json.dumps(_string(value), ensure_ascii=False)


def format_string(template: str, values: list[Any]) -> str:
    """`%s %d %f %e %x %X %o %b %%`."""
    rest = iter(values)

    def verb(match: re.Match[str]) -> str:
        digits, letter = match.groups()
        if letter == "%":
            return "%"
        try:
            value = next(rest)
        except StopIteration:
            raise EvaluationError("index out of range: too few arguments for format") from None
        return _formatted(value, letter, int(digits) if digits else None)

    return _VERB.sub(verb, _string(template))


def _formatted(value: Any, letter: str, digits: int | None) -> str:
    if letter == "s":
        return _shown(value)
    if letter in "dxXob" and isinstance(value, int):
        return format(int(value), letter)
    if letter in "xX" and isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return raw.hex() if letter == "x" else raw.hex().upper()
    if letter in "fe" and isinstance(value, int | float):
        return format(float(value), f".{6 if digits is None else digits}{letter}")
    raise EvaluationError(f'error during formatting: unrecognized formatting clause "{letter}"')


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_shown(key), _shown(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if isinstance(value, Type):
        return value.name
    if isinstance(value, datetime | timedelta):
        return text(value)
    return text(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {"strings.quote": quote}

METHODS: dict[str, Callable[..., Any]] = {
    "contains": lambda value, part: _string(part) in _string(value),
    "startsWith": lambda value, part: _string(value).startswith(_string(part)),
    "endsWith": lambda value, part: _string(value).endswith(_string(part)),
    "charAt": char_at,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "lowerAscii": lambda value: _string(value).translate(_ASCII_LOWER),
    "upperAscii": lambda value: _string(value).translate(_ASCII_UPPER),
    "replace": replace,
    "split": split,
    "substring": substring,
    "trim": lambda value: _string(value).strip(),
    "join": join,
    "reverse": reverse,
    "find": find,
    "findAll": find_all,
    "format": format_string,
}
