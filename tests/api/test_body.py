"""Bodies: JSON and YAML into values, duplicate keys named, broken text refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import yaml11
from sampan.api.body import read_json, read_yaml, shown
from sampan.api.leaves import DecodeError


def test_duplicate_keys_are_named_and_the_last_one_counts() -> None:
    body = read_json(b'{"data":{"a":"1","a":"2"},"l":[{"x":1,"x" : 2}]}')
    assert body.duplicates == ('duplicate field "data.a"', 'duplicate field "l[0].x"')
    assert body.value["data"] == {"a": "2"}


def test_a_space_before_the_colon_is_no_duplicate() -> None:
    assert read_json(b'{"a" : 1, "b\\"": 2}').duplicates == ()


BROKEN = {
    b'{"apiVersion":"v1",': "unexpected end of JSON input",
    b"": "unexpected end of JSON input",
    b"hello": "invalid character 'h' looking for beginning of value",
    b"{a": "invalid character 'a' looking for beginning of object key string",
    b'{"a" 1}': "invalid character '1' after object key",
    b'{"a":1 "b"}': "invalid character '\"' after object key:value pair",
    b"[1 2]": "invalid character '2' after array element",
    b"{} x": "invalid character 'x' after top-level value",
}


@pytest.mark.parametrize(("data", "text"), BROKEN.items())
def test_broken_json_is_refused_in_gos_words(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read_json(data)
    assert str(caught.value) == text


def test_messages_show_the_beginning_of_a_body() -> None:
    assert shown(b"") == "<empty>"
    assert shown(b'{"apiVersion":"v1","kind":"ConfigMap",') == '{"apiVersion":"v1","kind":"Con ...'


def test_yaml_names_duplicate_keys_by_line() -> None:
    body = read_yaml(b"kind: ConfigMap\ndata:\n  a: one\n  a: two\n")
    assert body.value["data"] == {"a": "two"}
    assert body.warnings == ('line 4: key "a" already set in map',)
    assert body.strict_text() == 'yaml: unmarshal errors:\n  line 4: key "a" already set in map'


READINGS = {
    "yes": True, "off": False, "n": False, "~": None, "2001-02-03": "2001-02-03", "1:30": "1:30",
    "1e3": 1000, "0777": 511, "0x1f": 31, "1_000": 1000, "1.5": 1.5, "-3": -3, "1.2.3": "1.2.3",
    "-": "-", "text": "text", "010.5": 10.5,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READINGS.items())
def test_plain_scalars_mean_what_they_mean_to_kubernetes(text: str, value: object) -> None:
    assert yaml11.scalar(text) == value
    assert type(yaml11.scalar(text)) is type(value)


def test_yaml_keys_are_strings_and_quoted_text_stays_text() -> None:
    body = read_yaml(b"1: a\ntrue: b\nc: 'yes'\nd: \"5\"\ne: !!str 12\nf: |\n  no\n")
    assert body.value == {"1": "a", "true": "b", "c": "yes", "d": "5", "e": "12", "f": "no\n"}


def test_anchors_and_merges_work() -> None:
    body = read_yaml(b"a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n")
    assert body.value["b"] == {"p": 1, "q": 3}


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(DecodeError, match="excessive aliasing"):
        read_yaml("\n".join(lines).encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_without_duplicates_reads_as_the_library_reads_it(value: object) -> None:
    for data in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        body = read_json(data.encode(errors="surrogatepass"))
        assert body.value == value
        assert body.duplicates == ()
