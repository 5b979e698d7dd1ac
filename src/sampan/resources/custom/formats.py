"""Named formats of strings and numbers. An unknown format is no constraint."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.cel import times
from sampan.resources.cel.errors import EvaluationError

_UNITS = (
    ("ns", "nano"), ("us", "µs", "micro"), ("ms", "milli"), ("s", "sec"), ("m", "min"),
    ("h", "hr", "hour"), ("d", "day"), ("w", "wk", "week"),
)  # fmt: skip
"""Of durations in words; whatever begins with the last of a row is that unit, too."""
_LENGTHS = {"int32": 32, "int64": 64}


def fits(value: str, name: str) -> bool:
    check = _CHECKS.get(name.replace("-", ""))
    return check is None or check(value)


def in_range(value: float, kind: str, name: str) -> bool:
    """Whether a number is one of that type and format."""
    if kind == "integer":
        most = 1 << (_LENGTHS.get(name, 64) - 1)
        return value == int(value) and -most <= value < most
    return kind != "number" or name != "float" or abs(value) <= _MAX_FLOAT32


_MAX_FLOAT32 = 3.4028234663852886e38


def is_known(name: str, kind: str) -> bool:
    """Whether a format means something for values of the type."""
    by_type = {"integer": ("int32", "int64"), "number": ("float", "double")}
    if kind in by_type:
        return name in by_type[kind]
    return kind in ("", "string") and name.replace("-", "") in (*_CHECKS, "password")


def unknown(schema: Json) -> list[str]:
    """Every format of a schema that means nothing."""
    name, found = schema.get("format"), list[str]()
    if name and not is_known(name, schema.get("type", "")):
        found.append(name)
    below = [schema.get(part) for part in ("items", "additionalProperties", "not")]
    below += (schema.get("properties") or {}).values()
    for part in ("allOf", "anyOf", "oneOf"):
        below += schema.get(part) or ()
    return found + [each for part in below if isinstance(part, dict) for each in unknown(part)]


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, EvaluationError, binascii.Error):
            return False
        return True

    return check


def _uri(value: str) -> str:
    parts = urlsplit(value)
    if not parts.scheme and not value.startswith("/"):
        raise ValueError(value)
    return value


def _duration(value: str) -> bool:
    """Go's, or numbers with units in words."""
    if _parses(times.duration)(value):
        return True
    return any(
        unit.lower() in row or unit.lower().startswith(row[-1])
        for unit in re.findall(r"\d+\s*([A-Za-zµ]+)", value)
        for row in _UNITS
    )


def _cidr(value: str) -> None:
    if "/" not in value:
        raise ValueError(value)
    ipaddress.ip_network(value, strict=False)


def _base64(value: str) -> None:
    if not value:
        raise ValueError(value)
    base64.b64decode(value, validate=True)


_HEX = "[0-9a-fA-F]"
_BYTE = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
_UUID = f"{_HEX}{{8}}-?{_HEX}{{4}}-?{{v}}{_HEX}{{3}}-?{{w}}{_HEX}{{3}}-?{_HEX}{{12}}"
_LABEL = "[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"


def _uuid(version: str = "", variant: str = "") -> Callable[[str], bool]:
    pattern = _UUID.replace("{v}", version or _HEX).replace("{w}", variant or _HEX)
    return _matches(pattern)


_CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(f"{_HEX}{{24}}"),
    "uri": _parses(_uri),
    "email": _matches(r"[^@\s<>]+@[^@\s<>]+|[^<>@]*<[^@\s<>]+@[^@\s<>]+>"),
    "hostname": _matches(rf"{_LABEL}|({_LABEL}\.)+[a-zA-Z]{{2,63}}"),
    "ipv4": _matches(rf"(0*{_BYTE})(\.0*{_BYTE}){{3}}"),
    "ipv6": lambda value: "%" not in value and _parses(ipaddress.IPv6Address)(value),
    "cidr": _parses(_cidr),
    "mac": _matches(
        rf"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}(([:-]{_HEX}{{2}}){{2}})?|{_HEX}{{4}}(\.{_HEX}{{4}}){{2,3}}"
    ),
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89abAB]"),
    "uuid5": _uuid("5", "[89abAB]"),
    "isbn": _matches(r"([0-9][- ]?){9}[0-9X]|([0-9][- ]?){13}"),
    "isbn10": _matches(r"([0-9][- ]?){9}[0-9X]"),
    "isbn13": _matches(r"([0-9][- ]?){13}"),
    "creditcard": _matches(r"([0-9][ -]?){13,16}"),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches(f"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _matches(rf"rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)"),
    "byte": _parses(_base64),
    "date": _parses(date.fromisoformat),
    "k8sshortname": lambda value: not names.dns1123_label(value),
    "k8slongname": lambda value: not names.dns1123_subdomain(value),
    "datetime": _parses(lambda value: times.timestamp(value.upper())),
    "duration": _duration,
}
