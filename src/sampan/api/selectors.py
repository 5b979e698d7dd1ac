"""Label and field selectors: text or LabelSelector objects into something that matches.

    parse("app=web,tier in (front, back),!old").matches(labels)
    parse_fields("status.phase!=Running,spec.nodeName=").matches(value_of_field)

Errors are ValueErrors in upstream's words; the API server answers them with 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sampan.api import names
from sampan.api.errors import FieldError
from sampan.api.meta import Json

_OPERATORS = {
    "in": "In",
    "notin": "NotIn",
    "=": "In",
    "==": "In",
    "!=": "NotIn",
    ">": "Gt",
    "<": "Lt",
}
_EXPECTED = "in, notin, =, ==, !=, gt, lt"
_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))")
_END = ("", "end")


class SelectorError(ValueError):
    """The text is no selector."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """In, NotIn, Exists, DoesNotExist, Gt, Lt."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            number, bound = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "Gt" else number < bound

    def __str__(self) -> str:
        if self.operator == "Exists":
            return self.key
        if self.operator == "DoesNotExist":
            return f"!{self.key}"
        if self.operator in ("Gt", "Lt"):
            return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{self.values[0]}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'In' else '!='}{self.values[0]}"
        return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """All of the requirements hold; none of them holds for `NOTHING`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        found = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    def __bool__(self) -> bool:
        """False for the selector that selects everything."""
        return self.nothing or bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """A label selector as `-l` and `labelSelector=` have it; the empty one selects everything."""
    tokens = _Tokens(text)
    found: list[Requirement] = []
    while True:
        word, kind = tokens.peek()
        if kind == "end":
            break
        if kind != "name" and word != "!":
            raise SelectorError(f"found '{word}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_requirement(tokens))
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        word, kind = tokens.take()
        if kind == "end":
            break
        if word != ",":
            raise SelectorError(f"found '{word}', expected: ',' or 'end of string'")
        word, kind = tokens.peek()
        if kind != "name" and word != "!":
            raise SelectorError(f"found '{word}', expected: identifier after ','")
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """Exactly these labels; no labels select everything."""
    pairs = sorted((labels or {}).items())
    return Selector(tuple(Requirement(key, "In", (value,)) for key, value in pairs))


def from_object(selector: Json | None) -> Selector:
    """A LabelSelector object: absent selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = list(from_labels(selector.get("matchLabels")).requirements)
    for part in selector.get("matchExpressions") or ():
        values = tuple(part.get("values") or ())
        found.append(Requirement(part["key"], part["operator"], values))
    return Selector(tuple(found))


def validate_object(selector: Json, path: str) -> list[FieldError]:
    """What is wrong with a LabelSelector object."""
    errors: list[FieldError] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        where = f"{path}.matchLabels"
        errors += [FieldError("Invalid", where, key, text) for text in names.qualified_name(key)]
        errors += [FieldError("Invalid", where, value, text) for text in names.label_value(value)]
    for index, part in enumerate(selector.get("matchExpressions") or ()):
        errors += _validate_expression(part, f"{path}.matchExpressions[{index}]")
    return errors


def _validate_expression(part: Json, path: str) -> list[FieldError]:
    operator, values = part.get("operator", ""), part.get("values") or []
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(FieldError("Required", f"{path}.values", None, text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(FieldError("Forbidden", f"{path}.values", None, text))
    else:
        text = "not a valid selector operator"
        errors.append(FieldError("Invalid", f"{path}.operator", operator, text))
    key = part.get("key", "")
    errors += [FieldError("Invalid", f"{path}.key", key, t) for t in names.qualified_name(key)]
    for index, value in enumerate(values):
        where = f"{path}.values[{index}]"
        errors += [FieldError("Invalid", where, value, text) for text in names.label_value(value)]
    return errors


class _Tokens:
    """Words and signs of a label selector, one ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> tuple[str, str]:
        """(word, "name", "sign" or "end")."""
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            return _END
        return (match[1], "sign") if match[1] else (match[2], "name")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return token


def _requirement(tokens: _Tokens) -> Requirement:
    word, kind = tokens.take()
    absent = word == "!" and kind == "sign"
    if absent:
        word, kind = tokens.take()
    if kind != "name":
        raise SelectorError(f"found '{word}', expected: identifier")
    complaints = names.qualified_name(word)
    if complaints:
        raise SelectorError(f'<nil>: Invalid value: "{word}": {"; ".join(complaints)}')
    if absent:
        return Requirement(word, "DoesNotExist")
    if tokens.peek() == _END or tokens.peek()[0] == ",":
        return Requirement(word, "Exists")
    sign, _ = tokens.take()
    operator = _OPERATORS.get(sign)
    if operator is None:
        raise SelectorError(f"found '{sign}', expected: {_EXPECTED}")
    values = _value_list(tokens) if sign in ("in", "notin") else _one_value(tokens)
    return Requirement(word, operator, _checked(word, operator, values))


def _one_value(tokens: _Tokens) -> set[str]:
    word, kind = tokens.peek()
    if kind == "end" or word == ",":
        return {""}
    tokens.take()
    if kind != "name":
        raise SelectorError(f"found '{word}', expected: identifier")
    return {word}


def _value_list(tokens: _Tokens) -> set[str]:
    """`(a, b)`; an empty place between commas is the empty value."""
    word, _ = tokens.take()
    if word != "(":
        raise SelectorError(f"found '{word}' expected: '('")
    values: set[str] = set()
    current = ""
    while True:
        word, kind = tokens.take()
        if word == ")" and kind == "sign":
            return values | {current}
        if word == "," and kind == "sign":
            values.add(current)
            current = ""
        elif kind == "name" and not current:
            current = word
        else:
            wanted = "',' or ')'" if current else "',', or identifier"
            raise SelectorError(f"found '{word}', expected: {wanted}")


def _checked(key: str, operator: str, values: set[str]) -> tuple[str, ...]:
    """The values in order, if they may be values."""
    ordered = tuple(sorted(values))
    for index, value in enumerate(ordered):
        if operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?\d+", value):
            raise SelectorError(
                f'values[{index}]: Invalid value: "{value}": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            )
        complaints = names.label_value(value)
        if complaints:
            text = "; ".join(complaints)
            raise SelectorError(f'values[{index}][{key}]: Invalid value: "{value}": {text}')
    return ordered


# --- field selectors


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`field=value` or `field!=value`."""

    field: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All of the terms hold."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, value_of: Callable[[str], Any]) -> bool:
        return all((value_of(t.field) == t.value) == t.equal for t in self.terms)

    def exact(self, field: str) -> str | None:
        """The value that the field must have, if the selector says so."""
        return next((t.value for t in self.terms if t.equal and t.field == field), None)

    def __bool__(self) -> bool:
        return bool(self.terms)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """A field selector as `--field-selector` has it."""
    terms = []
    for part in re.findall(r"(?:[^,\\]|\\.?)+", text):
        match = re.match(r"((?:[^=!\\]|\\.|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        if not match[1] and not match[3]:
            continue  # no field that is nothing: true of everything
        terms.append(FieldTerm(match[1], match[2] != "!=", _unescaped(match[3])))
    return FieldSelector(tuple(terms))


def escape_field(value: str) -> str:
    """A value as it must stand in a field selector."""
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescaped(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    bad = re.search(r"\\(?![\\,=])(.?)", re.sub(r"\\[\\,=]", "", value))
    if bad:
        raise SelectorError(f"invalid field selector: invalid escape sequence: \\{bad[1]}")
    if re.search(r"(?<!\\)(?:\\\\)*=", value):
        raise SelectorError(f"invalid field selector: unescaped character in value: {'='!r}")
    return re.sub(r"\\([\\,=])", r"\1", value)


def shown(selector: Json | None) -> str:
    """A selector as upstream's texts show one."""
    if selector is None:
        return "nil"
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    rules = "".join(
        f"LabelSelectorRequirement{{Key:{rule['key']},Operator:{rule['operator']},"
        f"Values:[{' '.join(rule.get('values') or ())}],}},"
        for rule in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    )
