"""Quantities: canonical texts as recorded, arithmetic against fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import quantity
from sampan.api.quantity import NANO, Quantity, QuantityError, parse

CANONICAL = {
    "0.1": "100m",
    "1.5Gi": "1536Mi",
    "1E": "1E",
    "1e3": "1e3",
    "1024Ki": "1Mi",
    "1000k": "1M",
    "4096Ki": "4Mi",
    "2000m": "2",
    "1000000000000m": "1G",
    "+5": "+5",
    "01.50": "1500m",
    "12e6": "12e6",
    "1.024Ki": "1048576m",
    "0": "0",
    "0.0": "0",
    "1000m": "1",
    "0.5": "500m",
    "1e2": "100",
    "10000e-3": "10",
    "0.5Gi": "512Mi",
    "0.0000000001": "1n",
    "-0.5": "-500m",
}


@pytest.mark.parametrize(("given", "shown"), CANONICAL.items())
def test_quantities_are_shown_in_canonical_form(given: str, shown: str) -> None:
    assert str(parse(given)) == shown


@pytest.mark.parametrize("text", ["", "1.5.0", "1GB", "abc", "1 ", "true"])
def test_what_is_no_quantity_is_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(QuantityError, match="quantities must match the regular expression"):
        parse(text)


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(QuantityError, match="unable to parse quantity's suffix"):
        parse("1Gm")


def test_resource_lists_know_nothing_finer_than_a_thousandth() -> None:
    assert str(parse("0.0001").rounded_to_milli()) == "1m"
    assert str(parse("1e3").rounded_to_milli()) == "1e3"


def test_rounding_goes_up() -> None:
    assert quantity.milli("100.0001m") == 101
    assert quantity.units("1500m") == 2
    assert quantity.milli(0.25) == 250
    assert quantity.units(2) == 2


def test_a_sum_is_written_like_its_first_part() -> None:
    assert str(parse("1Gi") + parse("512Mi")) == "1536Mi"
    assert str(Quantity(0) + parse("1Gi")) == "1Gi"
    assert str(parse("2") - parse("500m")) == "1500m"


NUMBERS = st.integers(-(10**12), 10**12)
SUFFIXES = st.sampled_from(["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3"])
POWERS = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "Ki": Fraction(2**10),
    "Mi": Fraction(2**20), "Gi": Fraction(2**30), "e3": Fraction(1000), "E-3": Fraction(1, 1000),
}  # fmt: skip


@given(NUMBERS, SUFFIXES)
def test_parsing_is_exact_and_what_is_shown_means_the_same(number: int, suffix: str) -> None:
    value = parse(f"{number}{suffix}")
    exact = number * POWERS[suffix]
    capped = min(max(exact, Fraction(1 - 2**63)), Fraction(2**63 - 1))
    assert Fraction(value.nanos, NANO) == (capped if suffix.endswith("i") else exact)
    assert parse(str(value)) == value


@given(NUMBERS, SUFFIXES, NUMBERS, SUFFIXES)
def test_order_and_sums_follow_the_fractions(a: int, sa: str, b: int, sb: str) -> None:
    left, right = parse(f"{a}{sa}"), parse(f"{b}{sb}")
    assert (left < right) == (Fraction(left.nanos) < Fraction(right.nanos))
    assert (left + right).nanos == left.nanos + right.nanos


@given(NUMBERS, SUFFIXES)
def test_showing_twice_changes_nothing(number: int, suffix: str) -> None:
    once = str(parse(f"{number}{suffix}"))
    assert str(parse(once)) == once
