"""What rules may cost: the factors are those that Kubernetes 1.36 answers to the same schemas."""

from __future__ import annotations

import re

import pytest

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources.apiextensions import content

TEXT, INT = {"type": "string"}, {"type": "integer"}
PROPERTIES: Json = {
    "s": TEXT, "s10": {"type": "string", "maxLength": 10}, "i": INT,
    "e": {"type": "string", "enum": ["a", "bb"]}, "io": {"x-kubernetes-int-or-string": True},
    "ls": {"type": "array", "items": TEXT}, "li": {"type": "array", "items": INT},
    "ls5": {"type": "array", "maxItems": 5, "items": TEXT},
    "lli": {"type": "array", "maxItems": 1000, "items": {
        "type": "array", "maxItems": 1000, "items": INT}},
    "m": {"type": "object", "additionalProperties": TEXT},
    "lo": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
        "name": TEXT, "v": {"type": "string", "maxLength": 20}}}},
    "lo9": {"type": "array", "maxItems": 9, "items": {"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 9}}}},
}  # fmt: skip
ENDLESS = "more than 100x"
CASES = [
    ("self.s == 'abc'", ""),
    ("self.s.contains(self.s)", ENDLESS),
    ("self.s.matches('^a+b$')", ""),
    ("self.ls.all(x, x == 'a')", ""),
    ("self.ls.all(x, x.contains('a'))", ENDLESS),
    ("self.ls5.all(x, x.contains('a'))", ""),
    ("self.ls.all(x, self.ls.all(y, x != y))", ENDLESS),
    ("self.li.all(x, x > 5 && x < 10)", "1.101004x"),
    ("self.lli.all(x, x.all(y, y > 0))", ""),
    ("self.lli.all(x, x.map(y, y + 1).size() > 3)", "1.401700x"),
    ("self.lli.map(x, x.filter(y, y > 0)).size() > 0", "1.5x"),
    ("self.m.all(k, self.m[k] == 'a')", ""),
    ("self.lo.all(x, x.name.size() < 5)", ""),
    ("self.lo.all(x, x.v.matches('^[a-z]+$'))", ""),
    ("self.lo9.map(x, x.name).join(',').matches('abc+')", ENDLESS),
    ("self.s.split(',').all(x, x.contains('b'))", "1.321205x"),
    ("self.s.split(',').all(x, x.size() > 0)", "2.0x"),
    ("self.s10.split(',').all(x, self.s.split(',').exists(y, y == x))", "78.0x"),
    ("self.s in self.ls", ""),
    ("self.ls.isSorted()", ENDLESS),
    ("self.ls.all(x, [x, 'a', self.s].exists(y, y.contains('b')))", "3.4x"),
    ("self.ls.all(x, {'a': x}.a == 'b')", "3.7x"),
    ("[1,2,3].all(i, self.ls.all(x, x.size() > i))", "2.2x"),
    ("self.s10.replace('a','bb').matches('c+')", ""),
    ("self.?s.optMap(v, v.contains(v)).orValue(false)", ENDLESS),
    ("self.ls.all(x, self.ls.first().optFlatMap(v, optional.of(v)).hasValue())", "2.5x"),
    ("self.ls.all(x, [x].first().optMap(y, y.size() > 3).orValue(true))", "4.6x"),
    ("self.ls.sort() == []", ENDLESS),
    ("self.ls5.sortBy(x, x) == []", ""),
    ("self.io == 1 || string(self.io).contains('abcde')", ""),
]


def complaints(schema: Json, *, priced: bool = True) -> list[FieldError]:
    return content.programs(schema, "schema", priced=priced)


def whole(spec: Json) -> Json:
    return {"type": "object", "properties": {"spec": spec}}


@pytest.mark.parametrize(("rule", "factor"), CASES)
def test_the_price_of_a_rule_follows_from_the_bounds_of_its_schema(rule: str, factor: str) -> None:
    rules = [{"rule": rule}]
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": rules}
    found = [error for error in complaints(whole(spec)) if error.path.endswith(".rule")]
    told = [re.findall(r"exceeds budget by factor of (.*?) \(", error.detail) for error in found]
    factors = [factor for one in told for factor in one]
    assert factors == ([factor] if factor else [])


def test_a_rule_on_an_item_is_priced_for_as_many_as_there_may_be() -> None:
    def items(most: int | None) -> Json:
        rules = [{"rule": "self.a.contains('x')"}]
        item = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1000}},
                "x-kubernetes-validations": rules}  # fmt: skip
        bound = {} if most is None else {"maxItems": most}
        listed = {"type": "array", "items": item, **bound}
        return whole({"type": "object", "properties": {"l": listed}})

    assert complaints(items(20_000)) == []
    (error,) = complaints(items(50_000))
    assert error.path.endswith("properties[l].items.x-kubernetes-validations[0].rule")
    assert "exceeds budget by factor of 2.0x" in error.detail
    assert complaints(items(50_000), priced=False) == []


def test_a_rule_that_does_not_compile_has_no_price_and_its_message_is_not_looked_at() -> None:
    rule = {"rule": "self.s.contains(self.s) && self.x", "messageExpression": "self.y"}
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": [rule]}
    (error,) = complaints(whole(spec))
    assert "undefined field 'x'" in error.detail


def test_rules_that_are_fine_one_by_one_may_be_too_much_together() -> None:
    item = {**INT, "x-kubernetes-validations": [{"rule": "self > 1 && self < 5 && self != 3"}]}
    lists = {f"p{n}": {"type": "array", "maxItems": 900_000, "items": item} for n in range(30)}
    *blamed, last = complaints(whole({"type": "object", "properties": lists}))
    assert len(blamed) == 4
    assert {error.detail for error in blamed} == {
        "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    }
    assert last.path == "schema"
    assert last.detail.startswith(
        "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds "
        "budget by factor of 1.350000x (try simplifying"
    )
