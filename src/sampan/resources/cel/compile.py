"""A syntax tree as Python closures: built once per expression, run once per object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_key, no_such_overload
from sampan.resources.cel.functions import FUNCTIONS, METHODS, TYPES
from sampan.resources.cel.loops import MACROS, Run, Step, turns
from sampan.resources.cel.nodes import (
    Call,
    Has,
    Ident,
    Index,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Node,
    Select,
)
from sampan.resources.cel.values import NOTHING, Optional, Type, is_number

_ESCAPES = {"__dot__": ".", "__dash__": "-", "__slash__": "/", "__underscores__": "__"}
_KEYWORD = re.compile(
    "__(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package"
    "|namespace|return|var|void|while)__"
)


def build(node: Node, declared: frozenset[str]) -> Step:
    builder: Callable[[Any, frozenset[str]], Step] = _BUILDERS[type(node)]
    return builder(node, declared)


def _literal(node: Literal, declared: frozenset[str]) -> Step:
    value = node.value
    return lambda run: value


def _ident(node: Ident, declared: frozenset[str]) -> Step:
    name = node.name
    if name not in declared and name in TYPES:
        value = TYPES[name]
        return lambda run: value

    def read(run: Run) -> Any:
        try:
            return run.variables[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None

    return read


def _field_names(field: str) -> tuple[str, ...]:
    """The name as written, and what it escapes if it is no identifier."""
    keyword = _KEYWORD.fullmatch(field)
    plain = keyword.group(1) if keyword else field
    for escape, char in _ESCAPES.items():
        plain = plain.replace(escape, char)
    return (field,) if plain == field else (field, plain)


def _lookup(value: Any, wanted: tuple[str, ...]) -> Any:
    """The field's value in an `Optional`, NOTHING where the object lacks it."""
    if isinstance(value, Mapping):
        for name in wanted:
            if name in value:
                return Optional(value[name], present=True)
        return NOTHING
    raise no_such_overload()


def type_named(node: Select, declared: frozenset[str]) -> Type | None:
    """`net.IP`: a type whose name has dots, not a field of a variable."""
    names, below = [node.field], node.operand
    while isinstance(below, Select):
        names.append(below.field)
        below = below.operand
    if not isinstance(below, Ident) or below.name in declared:
        return None
    return TYPES.get(".".join([below.name, *reversed(names)]))


def _select(node: Select, declared: frozenset[str]) -> Step:
    named = type_named(node, declared)
    if named is not None:
        return lambda run: named
    operand, wanted = build(node.operand, declared), _field_names(node.field)

    def read(run: Run) -> Any:
        value = operand(run)
        soft = node.optional or isinstance(value, Optional)
        if isinstance(value, Optional):
            if not value.present:
                return NOTHING
            value = value.value
        found = _lookup(value, wanted)
        if soft:
            return found
        if not found.present:
            raise no_such_key(node.field)
        return found.value

    return read


def _has(node: Has, declared: frozenset[str]) -> Step:
    operand, wanted = build(node.operand, declared), _field_names(node.field)

    def test(run: Run) -> bool:
        value = operand(run)
        if isinstance(value, Optional):
            return value.present and bool(_lookup(value.value, wanted).present)
        return bool(_lookup(value, wanted).present)

    return test


def _index(node: Index, declared: frozenset[str]) -> Step:
    operand, index = build(node.operand, declared), build(node.index, declared)

    def read(run: Run) -> Any:
        value, key = operand(run), index(run)
        soft = node.optional or isinstance(value, Optional)
        if isinstance(value, Optional):
            if not value.present:
                return NOTHING
            value = value.value
        try:
            found = _element(value, key)
        except EvaluationError:
            if soft:
                return NOTHING
            raise
        return Optional(found, present=True) if soft else found

    return read


def _element(value: Any, key: Any) -> Any:
    if isinstance(value, list):
        if not is_number(key) or key != int(key):
            raise no_such_overload()
        if not 0 <= key < len(value):
            raise EvaluationError(f"index out of bounds: {key}")
        return value[int(key)]
    if isinstance(value, dict):
        if isinstance(key, list | dict):
            raise no_such_overload()
        if key not in value:
            raise no_such_key(key)
        return value[key]
    raise no_such_overload()


def _call(node: Call, declared: frozenset[str]) -> Step:
    special = _SPECIAL.get(node.function)
    if special is not None:
        return special(node, declared)
    args = [build(arg, declared) for arg in node.args]
    if node.target is None:
        return _plain_call(FUNCTIONS[node.function], args)
    spaced = namespaced(node, declared)
    if spaced is not None:
        return _plain_call(FUNCTIONS[spaced], args)
    return _method(node.function, build(node.target, declared), args)


def namespaced(node: Call, declared: frozenset[str]) -> str | None:
    """`sets.contains(...)`: a function whose name has a dot, not a method of a variable."""
    if isinstance(node.target, Ident) and node.target.name not in declared:
        name = f"{node.target.name}.{node.function}"
        return name if name in FUNCTIONS else None
    return None


def _plain_call(function: Callable[..., Any], args: list[Step]) -> Step:
    def call(run: Run) -> Any:
        values = [arg(run) for arg in args]
        try:
            return function(*values)
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _method(name: str, target: Step, args: list[Step]) -> Step:
    function = METHODS.get(name)

    def call(run: Run) -> Any:
        receiver = target(run)
        values = [arg(run) for arg in args]
        own = getattr(receiver, "cel_call", None)
        try:
            if own is not None:
                return own(name, values)
            if function is None:
                raise no_such_overload()
            return function(receiver, *values)
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _and(node: Call, declared: frozenset[str]) -> Step:
    return _logic(node, declared, decides=False)


def _or(node: Call, declared: frozenset[str]) -> Step:
    return _logic(node, declared, decides=True)


def _logic(node: Call, declared: frozenset[str], *, decides: bool) -> Step:
    """Either side may decide; an error on one side does not matter then."""
    left, right = (build(arg, declared) for arg in node.args)

    def run_both(run: Run) -> bool:
        failure: EvaluationError | None = None
        for side in (left, right):
            try:
                value = side(run)
            except EvaluationError as error:
                failure = failure or error
                continue
            if not isinstance(value, bool):
                failure = failure or no_such_overload()
            elif value is decides:
                return decides
        if failure is not None:
            raise failure
        return not decides

    return run_both


def _choice(node: Call, declared: frozenset[str]) -> Step:
    test, yes, no = (build(arg, declared) for arg in node.args)

    def choose(run: Run) -> Any:
        decided = test(run)
        if not isinstance(decided, bool):
            raise no_such_overload()
        return yes(run) if decided else no(run)

    return choose


def _list(node: ListOf, declared: frozenset[str]) -> Step:
    items = [build(item, declared) for item in node.items]

    def make(run: Run) -> list[Any]:
        out = []
        for at, item in enumerate(items):
            value = item(run)
            if at not in node.optional:
                out.append(value)
            elif value.present:
                out.append(value.value)
        return out

    return make


def _map(node: MapOf, declared: frozenset[str]) -> Step:
    entries = [(build(key, declared), build(value, declared)) for key, value in node.entries]

    def make(run: Run) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for at, (key, value) in enumerate(entries):
            name, content = key(run), value(run)
            if name in out:
                raise EvaluationError(f"Failed with repeated key: {name}")
            if at not in node.optional:
                out[name] = content
            elif content.present:
                out[name] = content.value
        return out

    return make


def _opened(node: Loop, declared: frozenset[str]) -> Step:
    """`optMap` and `optFlatMap`: what an optional value becomes, where it is there."""
    over, name = build(node.range, declared), node.variables[0]
    step = build(node.step, declared | {name})

    def opened(run: Run) -> Any:
        found = over(run)
        if not isinstance(found, Optional):
            raise no_such_overload()
        if not found.present:
            return NOTHING
        inner = Run(run.variables | {name: found.value})
        inner.steps = run.steps
        made = step(inner)
        run.steps = inner.steps
        return made if node.macro == "optFlatMap" else Optional(made, present=True)

    return opened


def _loop(node: Loop, declared: frozenset[str]) -> Step:
    if node.macro in ("optMap", "optFlatMap"):
        return _opened(node, declared)
    inside = declared | set(node.variables)
    over, step = build(node.range, declared), build(node.step, inside)
    chosen = build(node.filter, inside) if node.filter is not None else None
    finish = MACROS[node.macro]

    def loop(run: Run) -> Any:
        items = over(run)
        inner = Run(dict(run.variables))
        inner.steps = run.steps
        try:
            return finish(turns(items, node.variables, inner), step, chosen, inner)
        finally:
            run.steps = inner.steps

    return loop


_SPECIAL: dict[str, Callable[[Call, frozenset[str]], Step]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _choice,
}
_BUILDERS: dict[type, Callable[[Any, frozenset[str]], Step]] = {
    Literal: _literal,
    Ident: _ident,
    Select: _select,
    Has: _has,
    Index: _index,
    Call: _call,
    ListOf: _list,
    MapOf: _map,
    Loop: _loop,
}
