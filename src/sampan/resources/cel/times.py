"""Timestamps and durations. Python's have microseconds, which is what the API's times have too."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_overload

_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(h|ms|us|µs|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)"
)  # fmt: skip


def timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise EvaluationError(f'invalid timestamp "{value}"')
    seconds, fraction, zone = match.groups()
    micros = (fraction or ".0")[1:7].ljust(6, "0")
    zone = "+00:00" if zone == "Z" else zone
    return datetime.fromisoformat(f"{seconds}.{micros}{zone}").astimezone(UTC)


def duration(value: Any) -> timedelta:
    """`1h30m`, `-0.5s`."""
    if isinstance(value, timedelta):
        return value
    sign, bare = 1, str(value)
    if bare[:1] in ("-", "+"):
        sign, bare = (-1 if bare[0] == "-" else 1), bare[1:]
    parts = _DURATION.findall(bare)
    whole = "".join(number + unit for number, unit in parts)
    if bare != "0" and (not parts or whole != bare):
        raise EvaluationError(f'time: invalid duration "{value}"')
    return timedelta(seconds=sign * sum(float(number) * _UNITS[unit] for number, unit in parts))


def _zone(name: str) -> tzinfo:
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if match:
        sign = -1 if match.group(1) == "-" else 1
        return timezone(sign * timedelta(hours=int(match.group(2)), minutes=int(match.group(3))))
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _part(
    of_time: Callable[[datetime], int], of_span: Callable[[timedelta], int] | None = None
) -> Callable[..., int]:
    def read(value: Any, zone: str = "UTC") -> int:
        if isinstance(value, datetime):
            return of_time(value.astimezone(_zone(zone)))
        if isinstance(value, timedelta) and of_span is not None:
            return of_span(value)
        raise no_such_overload()

    return read


def _whole(value: timedelta, unit: timedelta) -> int:
    return int(value / unit)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "timestamp": timestamp,
    "duration": duration,
}

METHODS: dict[str, Callable[..., Any]] = {
    "getFullYear": _part(lambda t: t.year),
    "getMonth": _part(lambda t: t.month - 1),
    "getDate": _part(lambda t: t.day),
    "getDayOfMonth": _part(lambda t: t.day - 1),
    "getDayOfWeek": _part(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _part(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _part(lambda t: t.hour, lambda d: _whole(d, timedelta(hours=1))),
    "getMinutes": _part(lambda t: t.minute, lambda d: _whole(d, timedelta(minutes=1))),
    "getSeconds": _part(lambda t: t.second, lambda d: _whole(d, timedelta(seconds=1))),
    "getMilliseconds": _part(
        lambda t: t.microsecond // 1000, lambda d: _whole(d, timedelta(milliseconds=1)) % 1000
    ),
}
