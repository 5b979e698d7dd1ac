"""The syntax tree of an expression. Every node knows its offset in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    offset: int
    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; with `optional` `operand.?field`."""

    offset: int
    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Has:
    """`has(operand.field)`."""

    offset: int
    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index:
    offset: int
    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator; operators are called `_+_`, `!_`, `_?_:_`."""

    offset: int
    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    offset: int
    items: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MapOf:
    offset: int
    entries: tuple[tuple[Node, Node], ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Loop:
    """`range.all(x, p)`, exists, exists_one, filter, map and their forms with two variables."""

    offset: int
    macro: str
    range: Node
    variables: tuple[str, ...]
    filter: Node | None
    step: Node


Node = Literal | Ident | Select | Has | Index | Call | ListOf | MapOf | Loop
