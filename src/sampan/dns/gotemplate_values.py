"""The values in a template of Go's: pipelines, functions, fields and variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sampan.dns.gotemplate_functions import FUNCTIONS, CannotCall, WrongCall, truth
from sampan.dns.gotemplate_text import Thing, type_of
from sampan.dns.gotemplate_words import BadTemplate, Word, Words

Render = Callable[["State"], str]
Value = Callable[["State"], Any]
Call = Callable[["State", tuple[Any, ...]], Any]
Place = Callable[[Exception], BadTemplate]


class Fault(Exception):
    """What went wrong, before it is known where."""


@dataclass(slots=True)
class State:
    """The dot and the variables, the innermost last; `$` is the first."""

    dot: Any
    variables: list[tuple[str, Any]]

    def at(self, dot: Any) -> State:
        return State(dot, self.variables)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Variables that are declared within end with it."""
        mark = len(self.variables)
        try:
            yield
        finally:
            del self.variables[mark:]

    def find(self, name: str) -> int:
        return next(n for n in reversed(range(len(self.variables))) if self.variables[n][0] == name)


@dataclass(slots=True)
class Tree:
    """One text while it is read: its templates by name, and the variables in sight."""

    name: str
    text: str
    templates: dict[str, Render] = field(default_factory=dict)
    running: str = ""
    seen: list[str] = field(default_factory=lambda: ["$"])
    loops: int = 0

    def place(self, pos: int, what: str) -> Place:
        """The error of a node, with where it stands, in Go's words."""
        head, running = self.text[:pos], self.running
        line, column = 1 + head.count("\n"), pos - (head.rfind("\n") + 1)
        where = f'template: {self.name}:{line}:{column}: executing "{running}" at <{what}>'
        return lambda bad: BadTemplate(f"{where}: {bad}")


def constant(value: Any) -> Value:
    return lambda state: value


def pipeline(tree: Tree, words: Words, closed: bool = False) -> Value:
    """Commands, each given the value of the one before as its last argument."""
    first = _command(tree, words, 1)
    further: list[Call] = []
    while words.take("|") and words.peek() not in ("", ")"):
        further.append(_command(tree, words, len(further) + 2))
    if closed and not words.take(")"):
        raise BadTemplate("unclosed left paren")
    if not closed and not words.done():
        what = "right paren" if words.peek() == ")" else f'"{words.peek()}" in operand'
        raise BadTemplate(f"unexpected {what}")

    def evaluate(state: State) -> Any:
        value = first(state, ())
        for stage in further:
            value = stage(state, (value,))
        return value

    return evaluate


class Operand(NamedTuple):
    """`call` takes arguments, where it stands first and is a function or a field."""

    value: Value
    call: Call | None
    text: str
    pos: int


def _command(tree: Tree, words: Words, stage: int) -> Call:
    operands: list[Operand] = []
    while words.peek() not in ("", "|", ")"):
        operands.append(_operand(tree, words))
    if not operands:
        piped = words.peek() == "|"
        wrong = 'unexpected "|" in command' if piped else "missing value for command"
        raise BadTemplate(wrong)
    head, rest = operands[0], operands[1:]
    if head.call is None and stage > 1:
        raise BadTemplate(f"non executable command in pipeline stage {stage}")
    place = tree.place(head.pos, " ".join(operand.text for operand in operands))
    at_head = tree.place(head.pos, head.text)

    def run(state: State, carried: tuple[Any, ...]) -> Any:
        try:
            if head.text in ("and", "or") and rest:
                return _first(head.text == "or", rest, state, carried)
            if head.call is not None:
                arguments = tuple([operand.value(state) for operand in rest])
                _check(tree, head, rest, arguments)
                return head.call(state, (*arguments, *carried))
            if rest or head.text == "nil":
                raise WrongCall(_unfit(head))
            return head.value(state)
        except WrongCall as bad:
            raise at_head(bad) from bad
        except (Fault, CannotCall) as bad:
            raise place(bad) from bad

    return run


def _check(tree: Tree, head: Operand, rest: list[Operand], values: tuple[Any, ...]) -> None:
    """Arguments have the types that Go's functions want. Raises BadTemplate, or Fault."""
    for wanted, operand, value in zip(_WANTED.get(head.text, ""), rest, values, strict=False):
        if isinstance(value, str if wanted == "s" else int) and not isinstance(value, bool):
            continue
        if operand.text[0] in '"`+-.0123456789' and operand.text[1:2] < "A":
            name = "string" if wanted == "s" else "integer"
            bad = Fault(f"expected {name}; found {operand.text}")
            raise tree.place(operand.pos, operand.text)(bad)
        name = "string" if wanted == "s" else "int"
        raise Fault(f"wrong type for value; expected {name}; got {type_of(value)}")


def _unfit(head: Operand) -> str:
    if head.text == "nil":
        return "nil is not a command"
    return f"can't give argument to non-function {head.text}"


def _first(wanted: bool, rest: list[Operand], state: State, carried: tuple[Any, ...]) -> Any:
    """`and` and `or`: what stands behind the value that decides is not looked at."""
    value = None
    for operand in rest:
        value = operand.value(state)
        if truth(value) == wanted:
            return value
    return carried[0] if carried else value


def _operand(tree: Tree, words: Words) -> Operand:
    word = words.next()
    made = _MAKERS[word.kind](tree, words, word)
    fields = words.fields()
    if not fields and word.kind in ("field", "variable") and words.peek() == ".":
        raise BadTemplate("unexpected <.> in operand")
    if not fields:
        return made
    names = "".join(f.text for f in fields)
    if made.call is None and word.kind in ("string", "number", "rune"):
        raise BadTemplate(f'unexpected . after term "{made.text}"')
    return _with_fields(tree, made, [f.text[1:] for f in fields], names, fields[0].pos)


def _with_fields(tree: Tree, base: Operand, names: list[str], text: str, pos: int) -> Operand:
    whole = base.text + text
    place = tree.place(pos, whole)

    def call(state: State, arguments: tuple[Any, ...]) -> Any:
        value = base.value(state)
        for number, name in enumerate(names, 1):
            value = _field(value, name, arguments if number == len(names) else ())
        return value

    def found(state: State) -> Any:
        try:
            return call(state, ())
        except (Fault, CannotCall) as bad:
            raise place(bad) from bad

    return Operand(found, call, whole, pos)


def _field(value: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    if value is None:
        return None  # what is missing in a map has nothing that could be missing
    if not isinstance(value, Mapping) or (isinstance(value, Thing) and name not in value):
        raise Fault(f"can't evaluate field {name} in type {type_of(value)}")
    found = value.get(name)
    if callable(found):
        return _method(name, found, arguments)
    if arguments:
        raise WrongCall(f"{name} has arguments but cannot be invoked as function")
    return found


def _method(name: str, found: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    wanted = found.__code__.co_argcount
    if len(arguments) != wanted:
        said = f"wrong number of args for {name}: want {wanted} got {len(arguments)}"
        raise WrongCall(said)
    return found(*arguments)


def _dot(tree: Tree, words: Words, word: Word) -> Operand:
    return Operand(lambda state: state.dot, None, ".", word.pos)


def _own_field(tree: Tree, words: Words, word: Word) -> Operand:
    more = words.fields()
    names = [word.text[1:], *(one.text[1:] for one in more)]
    pos = more[0].pos if more else word.pos
    dot = Operand(lambda state: state.dot, None, "", word.pos)
    return _with_fields(tree, dot, names, "".join("." + name for name in names), pos)


def _variable(tree: Tree, words: Words, word: Word) -> Operand:
    name = word.text
    if name not in tree.seen:
        raise BadTemplate(f'undefined variable "{name}"')
    return Operand(lambda state: state.variables[state.find(name)][1], None, name, word.pos)


def _constant(tree: Tree, words: Words, word: Word) -> Operand:
    value = word.value
    return Operand(lambda state: value, None, word.text, word.pos)


def _named(tree: Tree, words: Words, word: Word) -> Operand:
    name = word.text
    if name in _WORDS:
        return Operand(constant(_WORDS[name]), None, name, word.pos)
    function = FUNCTIONS.get(name)
    if function is None:
        raise BadTemplate(f'function "{name}" not defined')
    place = tree.place(word.pos, name)

    def call(state: State, arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)

    def value(state: State) -> Any:
        try:
            return function()
        except CannotCall as bad:
            raise place(bad) from bad

    return Operand(value, call, name, word.pos)


def _parens(tree: Tree, words: Words, word: Word) -> Operand:
    value = pipeline(tree, words, closed=True)
    return Operand(value, None, words.since(word), word.pos)


_WANTED = {"printf": "s", "parseInt": "sii", ".Meta": "s"}
"""Strings and integers, argument by argument."""
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
_MAKERS: dict[str, Callable[[Tree, Words, Word], Operand]] = {
    "dot": _dot, "field": _own_field, "variable": _variable, "string": _constant,
    "number": _constant, "rune": _constant, "name": _named, "paren": _parens,
}  # fmt: skip
