"""Scalars with a text form of their own: times, bytes, quantities.

Each takes a JSON value and returns the canonical one, or raises DecodeError in Go's words.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sampan.api import quantity as quantities
from sampan.api.quantity import QuantityError

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


class DecodeError(ValueError):
    """The body cannot be an object of its kind; the message is what the client is told."""


def time(value: str) -> str:
    """metav1.Time: RFC 3339 in UTC, whole seconds."""
    moment = _moment(value, _LAYOUT)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else _padded(moment)


def microtime(value: str) -> str:
    """metav1.MicroTime: always six digits behind the point."""
    moment = _moment(value, _MICRO_LAYOUT)
    return f"{time(value)[:-1]}.{moment.microsecond:06d}Z"


def _padded(moment: datetime) -> str:
    return f"{moment.year:04d}" + moment.strftime("-%m-%dT%H:%M:%SZ")


def _moment(value: str, layout: str) -> datetime:
    match = _RFC3339.fullmatch(value)
    complaint = _complaint(value, match, layout)
    if complaint or match is None:
        raise DecodeError(complaint)
    try:
        moment = datetime.fromisoformat(value[:19] + (match[7] or "")[:7] + match[8])
    except ValueError as error:
        part = str(error).split(" ", 1)[0]
        raise DecodeError(f'parsing time "{value}": {part} out of range') from None
    return moment.astimezone(UTC)


def _complaint(value: str, match: re.Match[str] | None, layout: str) -> str:
    if match is None:
        rest, part = _stuck(value)
        if not part:
            return f'parsing time "{value}": extra text: "{rest}"'
        return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{part}"'
    if layout == _MICRO_LAYOUT and len(match[7] or "") != 7:
        rest = value[19:]
        return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as ".000000"'
    return ""


_STEPS = (
    (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"),
    (r"\d\d", "15"), (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d", "05"),
    (r"(\.\d+)?(Z|[+-]\d\d:\d\d)", "Z07:00"),
)  # fmt: skip


def _stuck(value: str) -> tuple[str, str]:
    """Where Go's parser stops, and at which part of the layout."""
    for pattern, part in _STEPS:
        match = re.match(pattern, value, re.ASCII)
        if match is None:
            return value, part
        value = value[match.end() :]
    return value, ""


def base64_bytes(value: str) -> str:
    """Bytes in standard base64; line breaks and bits within that say nothing are dropped."""
    if "\n" in value or "\r" in value:
        value = value.replace("\n", "").replace("\r", "")
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise DecodeError(f"illegal base64 data at input byte {_bad_byte(value)}") from None
    return encode_bytes(data) if value.endswith("=") else value


def _bad_byte(value: str) -> int:
    """The offset that Go's decoder names."""
    match = re.match(r"[A-Za-z0-9+/]*", value)
    good = match.end() if match else 0
    rest = value[good:]
    if not rest:
        return len(value) - len(value) % 4 if len(value) % 4 == 1 else len(value)
    if rest[0] != "=" or good % 4 < 2:
        return good
    wanted = 4 - good % 4
    return good + 1 if len(rest) < wanted or rest[:wanted] != "=" * wanted else good + wanted


def encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


@lru_cache(maxsize=4096)
def _quantity_text(text: str) -> str:
    return str(quantities.parse(text))


def quantity(value: Any) -> str:
    try:
        if type(value) is str:
            return _quantity_text(value.strip())
        return str(quantities.parse_json(value))
    except QuantityError as error:
        raise DecodeError(str(error)) from None


def milli_quantity(text: str) -> str:
    """A value of a resource list: nothing finer than a thousandth."""
    return str(quantities.parse(text).rounded_to_milli())
