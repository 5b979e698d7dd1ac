"""Selectors, against what upstream recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.api.selectors import SelectorError, parse, parse_fields

MATCHES = [
    ("", {}, True),
    ("app=web", {"app": "web"}, True),
    ("app==web,tier!=front", {"app": "web"}, True),
    ("app==web,tier!=front", {"app": "web", "tier": "front"}, False),
    ("app in (db, cache),!tier", {"app": "db"}, True),
    ("app in (db, cache),!tier", {"app": "db", "tier": ""}, False),
    ("tier notin (front)", {}, True),
    ("tier", {"tier": ""}, True),
    ("x>3", {"x": "4"}, True),
    ("x<3", {"x": "four"}, False),
    ("x=", {"x": ""}, True),
    ("x in ()", {"x": ""}, True),
    ("x in (a,,b)", {"x": ""}, True),
    ("in in (in)", {"in": "in"}, True),
    ("  a  ,  b  ", {"a": "", "b": ""}, True),
]


@pytest.mark.parametrize(("text", "labels", "answer"), MATCHES)
def test_label_selectors_match(text: str, labels: dict[str, str], answer: bool) -> None:
    assert parse(text).matches(labels) is answer


REFUSED = {
    "app in web": "unable to parse requirement: found 'web' expected: '('",
    "a b": "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    "app=web,,x": "found ',', expected: identifier after ','",
    "x>a": 'unable to parse requirement: values[0]: Invalid value: "a": '
    "for 'Gt', 'Lt' operators, the value must be an integer",
    "a=b c": "found 'c', expected: ',' or 'end of string'",
    "=a": "found '=', expected: !, identifier, or 'end of string'",
    "x in (a": "unable to parse requirement: found '', expected: ',' or ')'",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_is_no_label_selector_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_bad_keys_and_values_are_refused_with_the_rule() -> None:
    with pytest.raises(SelectorError, match='requirement: <nil>: Invalid value: "Bad/Key/x": a'):
        parse("Bad/Key/x=1")
    with pytest.raises(SelectorError, match=r'values\[0\]\[x\]: Invalid value: "-bad-": a valid'):
        parse("x=-bad-")


def test_a_label_selector_object_selects_nothing_when_absent_and_all_when_empty() -> None:
    assert not selectors.from_object(None).matches({"a": "b"})
    assert selectors.from_object({}).matches({})
    made = selectors.from_object(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
    )
    assert made.matches({"a": "b", "c": ""})
    assert not made.matches({"a": "b"})


def test_field_selectors_match_and_unescape() -> None:
    chosen = parse_fields(r"status.phase!=Running,spec.nodeName=,x=a\,b\=c")
    assert chosen.matches({"status.phase": "Pending", "spec.nodeName": "", "x": "a,b=c"}.get)
    assert chosen.exact("x") == "a,b=c"
    assert not chosen.matches({"status.phase": "Running", "spec.nodeName": "", "x": "a,b=c"}.get)


def test_what_is_no_field_selector_is_refused() -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields("metadata.name")
    assert (
        str(caught.value) == "invalid selector: 'metadata.name'; can't understand 'metadata.name'"
    )
    with pytest.raises(SelectorError, match="invalid escape sequence"):
        parse_fields(r"a=\x")


@given(st.text(min_size=1))
def test_any_value_survives_escaping(value: str) -> None:
    assert parse_fields(f"f={selectors.escape_field(value)}").exact("f") == value


LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", "x", "y"]))


@given(LABELS, LABELS)
def test_printing_a_selector_and_parsing_it_again_selects_the_same(
    wanted: dict[str, str], labels: dict[str, str]
) -> None:
    selector = selectors.from_labels(wanted)
    assert parse(str(selector)).matches(labels) == selector.matches(labels)
    assert selector.matches({**labels, **wanted})
