"""The functions of Go's text templates, and `parseInt`, which *template* has beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from sampan.dns.gotemplate_text import Thing, Unsigned, plain, printf, quoted, type_of


class CannotCall(Exception):
    """What a function says of its arguments."""


class WrongCall(CannotCall):
    """It was not even called."""


def truth(value: Any) -> bool:
    """Zero, nothing and what is empty are false."""
    return True if isinstance(value, Thing) else bool(value)


def _wrong(name: str, why: str) -> CannotCall:
    return CannotCall(f"error calling {name}: {why}")


def _print(*values: Any) -> str:
    """A space stands between two of which none is a string."""
    out = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            out += " "
        out += plain(value)
    return out


def _println(*values: Any) -> str:
    return " ".join(map(plain, values)) + "\n"


def _printf(form: Any, *values: Any) -> str:
    if not isinstance(form, str):
        raise CannotCall(f"wrong type for value; expected string; got {type_of(form)}")
    return printf(form, *values)


def _parse_int(text: Any, base: int, bits: int) -> Unsigned:
    said = f"strconv.ParseUint: parsing {quoted(str(text))}"
    try:
        if str(text)[:1] in ("", "-", "+") or ("_" in str(text) and base):
            raise ValueError
        found = int(str(text), base)
    except ValueError:
        raise _wrong("parseInt", f"{said}: invalid syntax") from None
    if found >= 1 << (bits or 64):
        raise _wrong("parseInt", f"{said}: value out of range")
    return Unsigned(found)


def _len(value: Any = None) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if value is None:
        raise _wrong("len", "len of nil pointer")
    if isinstance(value, (list, tuple, Mapping)) and not isinstance(value, Thing):
        return len(value)
    raise _wrong("len", f"len of type {type_of(value)}")


def _index(value: Any, *keys: Any) -> Any:
    if value is None:
        raise _wrong("index", "index of untyped nil")
    for key in keys:
        if isinstance(value, Mapping) and not isinstance(value, Thing):
            if not isinstance(key, str):
                raise _wrong("index", f"value has type {type_of(key)}; should be string")
            value = value.get(key, "")
            continue
        if not isinstance(value, (str, list, tuple)):
            raise _wrong("index", f"can't index item of type {type_of(value)}")
        items = value.encode() if isinstance(value, str) else value
        value = items[_place("index", key, len(items) - 1)]
    return value


def _place(name: str, key: Any, most: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        kind = "nil" if key is None else f"type {type_of(key)}"
        raise _wrong(name, f"cannot index slice/array with {kind}")
    if not 0 <= key <= most:
        raise _wrong(name, f"index out of range: {key}")
    return key


def _slice(value: Any, *ends: Any) -> Any:
    if value is None:
        raise _wrong("slice", "slice of untyped nil")
    if not isinstance(value, (str, list, tuple)):
        raise _wrong("slice", f"can't slice item of type {type_of(value)}")
    if len(ends) > 2 and isinstance(value, str):
        raise _wrong("slice", "cannot 3-index slice a string")
    items = value.encode() if isinstance(value, str) else value
    first, last = [_place("slice", end, len(items)) for end in ends[:2]] + [0, len(items)][
        len(ends[:2]) :
    ]
    if first > last:
        raise _wrong("slice", f"invalid slice index: {first} > {last}")
    part = items[first:last]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return next((k.__name__ for k in (int, float, str) if isinstance(value, k)), "")


def _comparable(name: str, a: Any, b: Any) -> bool:
    """Whether two values are of one kind. Raises CannotCall where both are there and not."""
    if _kind(a) == _kind(b):
        return True
    if a is not None and b is not None:
        kinds = f"{type_of(a)} and {type_of(b)}"
        raise _wrong(name, f"incompatible types for comparison: {kinds}")
    return False


def _eq(a: Any, *others: Any) -> bool:
    if not others:
        raise _wrong("eq", "missing argument for comparison")
    if isinstance(a, (list, tuple, Mapping)):
        raise _wrong("eq", f"non-comparable type {plain(a)}: {type_of(a)}")
    return any(_comparable("eq", a, other) and a == other for other in others)


def _ne(a: Any, b: Any) -> bool:
    return not (_comparable("ne", a, b) and a == b)


def _ordering(name: str, test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        if not _kind(a) or not _kind(b):
            raise _wrong(name, "invalid type for comparison")
        return _comparable(name, a, b) and test(a, b)

    return compare


def _escaped(table: Mapping[int, str]) -> Callable[..., str]:
    return lambda *values: _print(*values).translate(table)


_HTML = {34: "&#34;", 39: "&#39;", 38: "&amp;", 60: "&lt;", 62: "&gt;", 0: "\ufffd"}
_JS = {
    92: "\\\\", 39: "\\'", 34: '\\"', 60: "\\u003C", 62: "\\u003E", 38: "\\u0026", 61: "\\u003D",
    **{code: f"\\u{code:04X}" for code in range(32)},
}  # fmt: skip

_TABLE: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "printf": (1, -1, _printf), "print": (0, -1, _print), "println": (0, -1, _println),
    "len": (1, 1, _len), "index": (1, -1, _index), "slice": (1, 4, _slice),
    "eq": (1, -1, _eq), "ne": (2, 2, _ne),
    "lt": (2, 2, _ordering("lt", lambda a, b: bool(a < b))),
    "le": (2, 2, _ordering("le", lambda a, b: bool(a <= b))),
    "gt": (2, 2, _ordering("gt", lambda a, b: bool(a > b))),
    "ge": (2, 2, _ordering("ge", lambda a, b: bool(a >= b))),
    "not": (1, 1, lambda value: not truth(value)),
    "and": (1, -1, lambda *values: None), "or": (1, -1, lambda *values: None),
    "parseInt": (3, 3, _parse_int),
    "html": (0, -1, _escaped(_HTML)), "js": (0, -1, _escaped(_JS)),
    "urlquery": (0, -1, lambda *values: quote_plus(_print(*values), safe="~")),
}  # fmt: skip
"""Each with the fewest and the most arguments that it takes; -1 = any number."""


def _counted(name: str, least: int, most: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        if len(values) < least or 0 <= most < len(values):
            wanted = f"{'at least ' if most < 0 else ''}{least}"
            raise WrongCall(f"wrong number of args for {name}: want {wanted} got {len(values)}")
        return function(*values)

    return call


FUNCTIONS = {name: _counted(name, *row) for name, row in _TABLE.items()}
