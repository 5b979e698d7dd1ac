"""CEL: what expressions give, what they refuse, and how compile errors read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.resources.cel import types
from sampan.resources.cel.program import CompileError, EvaluationError, compile_expression

NAMES = {"self": types.DYN, "object": types.DYN}


def value(text: str, **values: Any) -> Any:
    return compile_expression(text, NAMES).run(values)


def fault(text: str, names: dict[str, types.Kind] | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        compile_expression(text, names or NAMES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("7 / -2", -3),
        ("7 % -2", 1),
        ("-(3)", -3),
        ("0x1F", 31),
        ("1.5e2", 150.0),
        ("5u + 1u == 6u", True),
        ("'a' + \"b\"", "ab"),
        (r"'\u00e9' == 'é'", True),
        (r"r'\d' == '\\d'", True),
        ("'''a\nb''' == 'a\\nb'", True),
        ("b'abc' == bytes('abc')", True),
        ("size('añb')", 3),
        ("[1, 2, 3].all(x, x > 0)", True),
        ("[1, 2].exists_one(x, x == 2)", True),
        ("[1, 2, 3].map(x, x * 2).filter(y, y > 2)", [4, 6]),
        ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
        ("{'a': 1, 'b': 2}.exists(k, k == 'b')", True),
        ("[3, 1].all(i, v, v > i || i == 1)", True),
        ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
        ("['bb', 'a'].sortBy(x, size(x))", ["a", "bb"]),
        ("[3, 1].first().orValue(0) + [3, 1].last().value()", 4),
        ("[].first().hasValue()", False),
        ("[7].first().optMap(v, v + 1).value()", 8),
        ("[].first().optMap(v, v + 1).hasValue()", False),
        ("[7].first().optFlatMap(v, optional.of(v)).value()", 7),
        ("type(ip('192.0.2.1')) == net.IP", True),
        ("type(duration('1s')) == google.protobuf.Duration", True),
        ("format.uuid().validate('x').value()", ["does not match the UUID format"]),
        ("format.date().validate('2026-11-30').hasValue()", False),
        ("2 in [1, 2]", True),
        ("'a' in {'a': 1}", True),
        ("true ? 1 : 2", 1),
        ("type(1) == int", True),
        ("type('') == string", True),
        ("int('12') + int(3.9)", 15),
        ("string(12) + string(true)", "12true"),
        ("dyn(1) == dyn(1.0)", True),
        ("dyn(true) == dyn(1)", False),
        ("duration('90s') > duration('1m')", True),
        ("timestamp('2020-02-01T00:00:00Z').getMonth()", 1),
        ("timestamp('2020-01-01T00:00:00Z') + duration('24h')"
         " == timestamp('2020-01-02T00:00:00Z')", True),
        ("'%s is %d, %.2f, %x'.format(['x', 3, 1.5, 255])", "x is 3, 1.50, ff"),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'hello'.substring(1, 3) + 'x'.upperAscii()", "elX"),
        ("['a', 'b'].join('-')", "a-b"),
        ("[3, 1, 2].max() - [3, 1, 2].min() + [1, 2].sum()", 5),
        ("sets.contains([1, 2], [1]) && !sets.intersects([1], [2])", True),
        ("'a1b22'.findAll('[0-9]+')", ["1", "22"]),
        ("quantity('1Gi').isGreaterThan(quantity('500Mi'))", True),
        ("quantity('500m').add(quantity('0.5')).compareTo(quantity('1')) == 0", True),
        ("cidr('10.0.0.0/8').containsIP(ip('10.1.2.3'))", True),
        ("ip('2001:db8::1').family()", 6),
        ("isIP('10.0.0.01')", False),
        ("url('https://u@h.example:8443/p?q=1').getHost()", "h.example:8443"),
        ("format.dns1123Label().validate('UPPER').hasValue()", True),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", True),
        ("optional.of(1).orValue(2) + optional.none().orValue(2)", 3),
    ],
)  # fmt: skip
def test_an_expression_gives_its_value(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_fields_may_be_asked_for_before_they_are_read() -> None:
    assert value("has(self.a.b) && self.a.b == 1", self={"a": {"b": 1}})
    assert not value("has(self.a) && self.a == 1", self={})
    assert value("self.?a.?b.orValue(3)", self={"a": {}}) == 3
    assert value("self[?'x'].hasValue()", self={}) is False


def test_names_that_are_no_identifiers_are_escaped() -> None:
    assert value("self.a__dash__b + self.__namespace__", self={"a-b": 1, "namespace": 2}) == 3


def test_logic_forgives_an_error_on_the_other_side() -> None:
    assert value("self.absent > 1 || true", self={})
    assert not value("self.absent > 1 && false", self={})
    assert value("[1, 2].exists(x, x / (x - 1) == 2)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("self.absent", "no such key: absent"),
        ("[1][2]", "index out of bounds: 2"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("dyn('a') < dyn(1)", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("lists.range(1000).map(x, lists.range(1000).map(y, y))", "cost limit"),
        ("lists.range(1000000000)", "cost limit"),
    ],
)
def test_an_evaluation_that_fails_says_why(text: str, says: str) -> None:
    with pytest.raises(EvaluationError, match=says.replace("(", r"\(").replace(")", r"\)")):
        value(text, self={})


def test_a_syntax_error_shows_its_place_as_upstream_does() -> None:
    assert fault("object.spec.nope.") == (
        "ERROR: <input>:1:18: Syntax error: no viable alternative at input '.'\n"
        " | object.spec.nope.\n"
        " | .................^"
    )


def test_unknown_names_and_fields_are_compile_errors() -> None:
    assert "undeclared reference to 'x' (in container '')" in fault("x + 1")
    assert "undeclared reference to 'frob' (in container '')" in fault("frob(1)")
    names = {"self": types.object_of({"size": types.INT, "name": types.STRING})}
    assert "<input>:1:5: undefined field 'nope'" in fault("self.nope > 1", names)
    assert "found no matching overload for '_>_' applied to '(string, int)'" in fault(
        "self.name > 1", names
    )
    assert "type 'int' does not support field selection" in fault("self.size.x == 1", names)


@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
def test_division_and_remainder_belong_together(left: int, right: int) -> None:
    if right:
        program = compile_expression("(a / b) * b + a % b", {"a": types.INT, "b": types.INT})
        assert program.run({"a": left, "b": right}) == left


@given(st.text())
def test_any_text_survives_as_a_literal(text: str) -> None:
    quoted = "".join(f"\\U{ord(char):08x}" for char in text)
    assert value(f"'{quoted}'") == text
