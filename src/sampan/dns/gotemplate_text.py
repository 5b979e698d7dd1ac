"""How Go writes values: `%v`, `printf` and its verbs, and the names of types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_VERB = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(.)?", re.DOTALL)
_HAS_PRECISION = re.compile(r"%[-+# 0]*(?:\d+|\*)?\.")
_BASES = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b"}


class Thing(dict[str, Any]):
    """A struct of Go's: what it has are its keys, anything else is an error."""

    def __init__(self, kind: str, text: str, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self.kind = kind
        self.text = text


class Unsigned(int):
    """A `uint64`, which matters to none but the names of types."""


def type_of(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, Thing):
        return value.kind
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    return "[]string" if all(isinstance(item, str) for item in value) else "[]interface {}"


_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "bool"), (Unsigned, "uint64"), (int, "int"), (float, "float64"), (str, "string"),
    (dict, "map[string]string"),
)  # fmt: skip


def shown(value: Any) -> str:
    """What stands for an action; nothing at all has words of its own."""
    return "<no value>" if value is None else plain(value)


def plain(value: Any) -> str:
    """`%v`."""
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Thing):
        return value.text
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{plain(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(plain, value)) + "]"
    return str(value)


def _float(value: float, precision: int | None = None) -> str:
    """The shortest text, with an exponent only where a number is very small or large."""
    if precision is not None:
        return f"{value:.{precision}g}"
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        text = f"{value:.17g}" if "e" in repr(value) else repr(value)
        return text.removesuffix(".0")
    return re.sub(r"\.0(?=e)", "", repr(value))


def quoted(text: str) -> str:
    """`%q`."""
    special = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    out = (special.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text)
    return '"' + "".join(out) + '"'


def printf(form: str, *values: Any) -> str:
    """Go's, with its complaints about verbs that do not fit."""
    rest, many = list(values), len(values)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if verb is None:
            return "%!(NOVERB)"
        if width == "*":
            width = str(rest.pop(0)) if rest else None
        if not rest:
            return f"%!{verb}(MISSING)"
        digits = int(precision or 0) if _HAS_PRECISION.match(found[0]) else None
        return _padded(_formatted(verb, rest.pop(0), flags, digits), flags, width)

    text = _VERB.sub(one, form)
    if rest and many:
        text += "%!(EXTRA " + ", ".join(f"{type_of(v)}={plain(v)}" for v in rest) + ")"
    return text


def _padded(text: str, flags: str, width: str | None) -> str:
    wide = int(width or 0)
    if "-" in flags:
        return text.ljust(wide)
    if "0" in flags:
        sign = text[:1] if text[:1] in ("-", "+") else ""
        return sign + text[len(sign) :].rjust(wide - len(sign), "0")
    return text.rjust(wide)


def _formatted(verb: str, value: Any, flags: str, digits: int | None) -> str:
    if verb == "T":
        return type_of(value)
    if verb == "v":
        text = plain(value)
        return "+" + text if "+" in flags and type_of(value) in ("int", "float64") else text
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_formatted(verb, item, flags, digits) for item in value) + "]"
    if isinstance(value, Mapping) and not isinstance(value, Thing):
        inside = (
            f"{_formatted(verb, key, flags, digits)}:{_formatted(verb, item, flags, digits)}"
            for key, item in sorted(value.items())
        )
        return "map[" + " ".join(inside) + "]"
    found = _scalar(verb, value, flags, digits)
    return f"%!{verb}({_blamed(value)})" if found is None else found


def _blamed(value: Any) -> str:
    return "<nil>" if value is None else f"{type_of(value)}={plain(value)}"


def _scalar(verb: str, value: Any, flags: str, digits: int | None) -> str | None:
    """None where the verb is not for such a value."""
    if isinstance(value, bool):
        return plain(value) if verb == "t" else None
    if isinstance(value, Thing):
        return value.text if verb == "s" else None
    if isinstance(value, str):
        return _string(verb, value, flags, digits)
    if isinstance(value, float):
        if verb in "eEfFgG" and verb in ("g", "G") and digits is None:
            return _float(value)
        return f"{value:.{6 if digits is None else digits}{verb}}" if verb in "eEfFgG" else None
    return _integer(verb, value, flags) if isinstance(value, int) else None


def _string(verb: str, value: str, flags: str, digits: int | None) -> str | None:
    if verb in ("s", "q"):
        cut = value if digits is None else value[:digits]
        return cut if verb == "s" else quoted(cut)
    if verb in ("x", "X"):
        text = value.encode().hex(" ") if " " in flags else value.encode().hex()
        return text.upper() if verb == "X" else text
    return None


def _integer(verb: str, value: int, flags: str) -> str | None:
    sign = "+" if "+" in flags and value >= 0 else " " if " " in flags and value >= 0 else ""
    if verb in _BASES:
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        minus = "-" if value < 0 else ""
        return sign + minus + prefix + f"{abs(value):{_BASES[verb]}}"
    if verb == "c":
        return chr(value)
    if verb == "q":
        return "'" + quoted(chr(value))[1:-1].replace('\\"', '"') + "'"
    return f"U+{value:04X}" if verb == "U" else None
