"""Values that several plugins read from their arguments: durations, addresses, fall-through zones.

Durations are Go's (`1h30m`, `500ms`), since that is what Corefiles hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.dns import names
from sampan.dns.corefile import CorefileError
from sampan.dns.setup import zones_of

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class BadDuration(ValueError):
    """Not a duration; the text is Go's."""


def duration(text: str) -> float:
    """Seconds. Raises BadDuration."""
    body = text.lstrip("+-") if text[:1] in "+-" else text
    sign = -1 if text.startswith("-") else 1
    if body == "0":
        return 0.0
    total, pos = 0.0, 0
    while pos < len(body):
        found = _PART.match(body, pos)
        if found is None:
            unit = re.match(r"(?=[\d.])\d*\.?\d*([^\d.]*)", body[pos:])
            if unit and not unit[1]:
                raise BadDuration(f'time: missing unit in duration "{text}"')
            if unit:
                raise BadDuration(f'time: unknown unit "{unit[1]}" in duration "{text}"')
            raise BadDuration(f'time: invalid duration "{text}"')
        total += float(found[1]) * _UNITS[found[2]]
        pos = found.end()
    if not body or total >= 1 << 33:
        raise BadDuration(f'time: invalid duration "{text}"')
    return sign * total


def whole_number(word: str) -> int:
    """Raises CorefileError, in Go's words."""
    try:
        return int(word)
    except ValueError:
        raise CorefileError(f'strconv.Atoi: parsing "{word}": invalid syntax') from None


def go_int(word: str) -> int:
    """A number as Go's Atoi reads it. Raises ValueError in its words."""
    if not re.fullmatch(r"[+-]?\d+", word, re.ASCII):
        raise ValueError(f'strconv.Atoi: parsing "{word}": invalid syntax')
    if not -(1 << 63) <= int(word) < 1 << 63:
        raise ValueError(f'strconv.Atoi: parsing "{word}": value out of range')
    return int(word)


def go_uint(word: str, bits: int = 64) -> int:
    """A number as Go's ParseUint reads it. Raises ValueError in its words."""
    if not re.fullmatch(r"\d+", word, re.ASCII):
        raise ValueError(f'strconv.ParseUint: parsing "{word}": invalid syntax')
    if int(word) >= 1 << bits:
        raise ValueError(f'strconv.ParseUint: parsing "{word}": value out of range')
    return int(word)


def go_bool(word: str) -> bool:
    """A truth value as Go's ParseBool reads it. Raises ValueError in its words."""
    if word in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if word in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{word}": invalid syntax')


def shown(seconds: float) -> str:
    """A duration as Go prints it: `2s`, `1m30s`, `1h0m0s`, `500ms`."""
    if seconds == 0:
        return "0s"
    if seconds < 0:
        return "-" + shown(-seconds)
    if abs(seconds) < 1:
        for unit, size in (("ms", 1e-3), ("µs", 1e-6)):
            if abs(seconds) >= size:
                return f"{seconds / size:g}{unit}"
        return f"{seconds / 1e-9:g}ns"
    whole, rest = int(seconds), seconds - int(seconds)
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60 + rest
    text = f"{left:g}s"
    if whole >= 60:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def check_host_port(text: str) -> str:
    """The address when it reads `host:port`. Raises CorefileError in Go's words."""
    host, colon, _ = text.rpartition(":")
    if not text:
        raise CorefileError("missing port in address")
    if not colon:
        raise CorefileError(f"address {text}: missing port in address")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise CorefileError(f"address {text}: too many colons in address")
    return text


@dataclass(frozen=True, slots=True)
class Fall:
    """The zones for which a plugin hands a query on that it has no answer for."""

    zones: tuple[str, ...] = ()

    @classmethod
    def from_args(cls, words: list[str]) -> Fall:
        """No argument means every zone."""
        if not words:
            return cls((".",))
        return cls(tuple(zone for word in words for zone in zones_of(word)))

    def through(self, name: str) -> bool:
        return bool(self.zones) and names.longest_zone(name, self.zones) != ""


ONCE = "this plugin can only be used once per Server Block"
