"""Quantities of resources: `500m`, `1.5Gi`, `12e6`. Exact arithmetic, upstream's canonical text.

A value is kept as a whole number of nano units, the finest that Kubernetes knows; anything finer is
rounded up, away from zero ("if you want some, you get some"). The canonical text has no fraction
and the largest suffix that keeps the number whole. One oddity is kept because clients see it:
upstream hands back the text as given where a quick look says that it is canonical (`+5`, `1e3`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, total_ordering
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

NANO = 10**9
MILLI = 10**6
"""Nanos in one milli unit."""
MAX_INT64 = 2**63 - 1

_WRONG = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_BAD_SUFFIX = "unable to parse quantity's suffix"
_TEXT = re.compile(
    r"(?P<sign>[+-]?)0*(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<suffix>[eEinumkKMGTP]*[-+]?[0-9]*)"
)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]{1,3})")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_TEXT = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_TEXT = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_EXACT_DIGITS = 18
"""Decimal digits that upstream's fast path takes; longer numbers are always written anew."""


class QuantityError(ValueError):
    """The text is no quantity; the message is upstream's."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount that remembers how it wants to be written."""

    nanos: int
    format: Format = "DecimalSI"
    text: str = field(default="")
    """The text it came from, if that is to be handed back as it is."""

    def __str__(self) -> str:
        return self.text or canonical(self.nanos, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __bool__(self) -> bool:
        return self.nanos != 0

    @property
    def value(self) -> int:
        """In whole units, rounded up."""
        return _away_from_zero(self.nanos, NANO)

    @property
    def milli(self) -> int:
        """In thousandths, rounded up: CPU."""
        return _away_from_zero(self.nanos, MILLI)

    def rounded_to_milli(self) -> Quantity:
        """As every resource list is defaulted: nothing is finer than a thousandth."""
        if self.nanos % MILLI == 0:
            return self
        return Quantity(self.milli * MILLI, self.format)


@lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """The quantity that the text means; QuantityError if it means none."""
    match = _TEXT.fullmatch(text) if text else None
    if match is None:
        raise QuantityError(_WRONG)
    if text == "0":
        return Quantity(0, "DecimalSI", text)
    whole, part = match["whole"] or "0", match["part"] or ""
    base, power, form = _suffix(match["suffix"])
    number = int(whole + part)
    exact = Fraction(number, 10 ** len(part)) * Fraction(base) ** power
    if match["sign"] == "-":
        exact = -exact
    nanos = _away_from_zero((exact * NANO).numerator, (exact * NANO).denominator)
    kept = text if _looks_canonical(number, whole + part, len(part), power, form) else ""
    if form == "BinarySI":
        nanos = max(min(nanos, MAX_INT64 * NANO), -MAX_INT64 * NANO)
        if 0 < nanos < NANO:
            form = "DecimalSI"
    return Quantity(nanos, form, kept)


def parse_json(value: object) -> Quantity:
    """From a JSON string or number."""
    if isinstance(value, str):
        return parse(value.strip())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return parse(repr(value))
    raise QuantityError(_WRONG)


def canonical(nanos: int, form: Format) -> str:
    """The number without a fraction and with the largest suffix that fits."""
    if nanos == 0:
        return "0"
    if form == "BinarySI" and abs(nanos) >= 1024 * NANO and nanos % NANO == 0:
        number, power = nanos // NANO, 0
        while number % 1024 == 0 and power < 60:
            number, power = number // 1024, power + 10
        return f"{number}{_BINARY_TEXT[power]}"
    number, power = nanos, -9
    while number % 1000 == 0 and (form == "DecimalExponent" or power < 18):
        number, power = number // 1000, power + 3
    if form == "DecimalExponent":
        return f"{number}e{power}" if power else str(number)
    return f"{number}{_DECIMAL_TEXT[power]}"


def milli(value: object) -> int:
    """Thousandths of a JSON quantity, rounded up."""
    return parse_json(value).milli


def units(value: object) -> int:
    """Whole units of a JSON quantity, rounded up."""
    return parse_json(value).value


def _suffix(text: str) -> tuple[int, int, Format]:
    """(base, power, format)."""
    if text in _DECIMAL:
        return 10, _DECIMAL[text], "DecimalSI"
    if text in _BINARY:
        return 2, _BINARY[text], "BinarySI"
    exponent = _EXPONENT.fullmatch(text)
    if exponent is None:
        raise QuantityError(_BAD_SUFFIX)
    return 10, int(exponent[1]), "DecimalExponent"


def _looks_canonical(number: int, digits: str, places: int, power: int, form: Format) -> bool:
    """Upstream's quick look, faults included, by which the given text is kept."""
    if form == "BinarySI":
        short = 15 - len(digits) - int(power * 3 / 10) - 1 >= 0
        return places == 0 and short and number & 7 != 0
    scale = power - places
    if len(digits) > _EXACT_DIGITS or scale < -9:
        return False
    return scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def _away_from_zero(number: int, divisor: int) -> int:
    return -(-number // divisor) if number > 0 else number // divisor
