"""Small expressions: the conditions of *view* and the variables of *template*.

The language is a part of expr-lang's: literals, lists, calls, member and index, arithmetic,
comparison, `in`, `contains`, `startsWith`, `endsWith`, `matches`, `not and or`, `a ? b : c`,
`a ?? b`, and predicates with `#` for the item.

    type() in ['A', 'AAAA'] && incidr(client_ip(), '10.0.0.0/8')
    any(['10.0.0.0/8', '192.168.0.0/16'], incidr(client_ip(), #))
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sampan.dns.expression_functions import FUNCTIONS, PREDICATES
from sampan.std import goregexp

Environment = Mapping[str, Any]
Evaluate = Callable[[Environment], Any]
ANY, INT, FLOAT, STRING, BOOL = "any", "int", "float64", "string", "bool"
ITEM = "#"
CONSTANTS = {"true": True, "false": False, "nil": None}
WORDS = frozenset(
    ("in", "not", "and", "or", "matches", "contains", "startsWith", "endsWith", "let", *CONSTANTS)
)


class BadExpression(ValueError):
    """The text is no expression; the message shows where."""


class Node(NamedTuple):
    """`type` is Go's, as far as it is known before evaluation."""

    run: Evaluate
    type: str = ANY


class Token(NamedTuple):
    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        kinds = {"name": "Identifier", "number": "Number", "string": "String"}
        kind = kinds.get(self.kind, "Bracket" if self.text in "()[]{}" else "Operator")
        text = self.text[1:-1] if self.kind == "string" else self.text
        return f'{kind}("{text}")' if self.kind else "EOF"


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)"
    r"|(?P<name>[A-Za-z_$]\w*|#\w*)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|\?\?|\?\.|\*\*|\.\.|[-+*/%<>!?:()\[\]{},.^|=;]))"
)

Binary = Callable[[Any, Any], Any]
LEVELS: tuple[dict[str, Binary], ...] = (
    {
        "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
        ">": operator.gt, ">=": operator.ge, "in": lambda a, b: a in b,
        "not in": lambda a, b: a not in b, "contains": lambda a, b: b in a,
        "startsWith": lambda a, b: a.startswith(b), "endsWith": lambda a, b: a.endswith(b),
        "matches": lambda a, b: goregexp.compiled(b).search(a) is not None,
    },
    {"..": lambda a, b: list(range(a, b + 1))},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "%": operator.mod},
    {"**": operator.pow, "^": operator.pow},
    {"??": lambda a, b: b if a is None else a},
)  # fmt: skip
"""Operators from the weakest bond to the strongest, below `and`."""
NEGATED = frozenset(("in", "contains", "startsWith", "endsWith", "matches"))
NUMBERS = frozenset((INT, FLOAT))


def compiled(text: str, known: Mapping[str, str]) -> Node:
    """What evaluates the expression in an environment that has the known names, which are given
    with their types. Raises BadExpression.
    """
    parser = _Parser(text, known)
    found = parser.whole()
    if parser.here.kind:
        raise parser.unexpected()
    if parser.unknown is not None:
        raise parser.unknown
    return found


def is_reserved(name: str, known: Iterable[str]) -> bool:
    """Whether a variable may not have this name."""
    return name in WORDS or name in FUNCTIONS or name in PREDICATES or name in known


class _Parser:
    def __init__(self, text: str, known: Mapping[str, str]) -> None:
        self.source = text
        self.known = known
        self.tokens = self._tokens()
        self.at = 0
        self.unknown: BadExpression | None = None
        """The first name that nobody knows; wrong grammar is told first."""
        self.inside = 0
        """How many predicates surround this place."""

    def _tokens(self) -> list[Token]:
        found, pos, text = [], 0, self.source.rstrip()
        while pos < len(text):
            match = _TOKEN.match(text, pos)
            if match is None:
                at = pos + len(text[pos:]) - len(text[pos:].lstrip())
                raise self.wrong(f"unrecognized character: U+{ord(text[at]):04X} {text[at]!r}", at)
            kind = match.lastgroup or ""
            after = text[match.end() : match.end() + 1]
            if kind == "number" and (after.isalpha() or after == "_"):
                number = re.compile(r"\w+").match(text, match.start(kind))
                assert number is not None
                raise self.wrong(f'bad number syntax: "{number[0]}"', number.end() - 1)
            found.append(Token(kind, match[kind], match.start(kind)))
            pos = match.end()
        return [*found, Token("", "", max(0, len(text) - 1))]

    @property
    def here(self) -> Token:
        return self.tokens[min(self.at, len(self.tokens) - 1)]

    def wrong(self, text: str, column: int) -> BadExpression:
        if not self.source:
            return BadExpression(text)
        where = f"(1:{column + 1})\n | {self.source}\n | {'.' * column}^"
        return BadExpression(f"{text} {where}")

    def unexpected(self) -> BadExpression:
        return self.wrong(f"unexpected token {self.here}", self.here.column)

    def take(self, *texts: str) -> str:
        """Move on over one of these words or signs; empty when none of them is here."""
        if self.here.kind in ("op", "name") and self.here.text in texts:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def need(self, text: str) -> None:
        if not self.take(text):
            raise self.unexpected()

    def whole(self) -> Node:
        condition = self.either()
        if not self.take("?"):
            return condition
        yes = self.whole()
        self.need(":")
        no = self.whole()
        kind = yes.type if yes.type == no.type else ANY
        return Node(lambda env: yes.run(env) if condition.run(env) else no.run(env), kind)

    def either(self) -> Node:
        left = self.both()
        while self.take("||", "or"):
            left = _or(left.run, self.both().run)
        return left

    def both(self) -> Node:
        left = self.level(0)
        while self.take("&&", "and"):
            left = _and(left.run, self.level(0).run)
        return left

    def level(self, number: int) -> Node:
        if number == len(LEVELS):
            return self.unary()
        left = self.level(number + 1)
        while True:
            column = self.here.column
            sign, denied = self.operator(number)
            if not sign:
                return left
            left = self.joined(number, sign, denied, left, self.level(number + 1), column)

    def operator(self, number: int) -> tuple[str, bool]:
        """The operator that stands here, and whether `not` stands before it."""
        if number == 0 and self.here.text == "not" and self.here.kind == "name":
            following = self.tokens[self.at + 1 : self.at + 2]
            if following and following[0].text in NEGATED:
                self.at += 2
                return following[0].text, True
        return self.take(*LEVELS[number]), False

    def joined(
        self, number: int, sign: str, denied: bool, left: Node, right: Node, column: int
    ) -> Node:  # fmt: skip
        kinds = {left.type, right.type}
        if ANY not in kinds and len(kinds) > 1 and not kinds <= NUMBERS and sign not in NEGATED:
            text = f"invalid operation: {sign} (mismatched types {left.type} and {right.type})"
            raise self.wrong(text, column)
        do = LEVELS[number][sign]
        if denied:
            return Node(lambda env: not do(left.run(env), right.run(env)), BOOL)
        kind = BOOL if number == 0 else left.type if len(kinds) == 1 and sign != "/" else ANY
        return Node(lambda env: do(left.run(env), right.run(env)), kind)

    def unary(self) -> Node:
        if self.take("!", "not"):
            inner = self.unary()
            return Node(lambda env: not inner.run(env), BOOL)
        if self.take("-"):
            inner = self.unary()
            return Node(lambda env: -inner.run(env), inner.type)
        return self.postfix(self.primary())

    def postfix(self, left: Node) -> Node:
        while True:
            if self.take("["):
                left = _index(left.run, self.whole().run)
                self.need("]")
            elif self.take(".", "?."):
                name = self.here.text
                self.at += 1
                left = _index(left.run, lambda env, name=name: name)  # type: ignore[misc]
            elif self.take("|"):
                left = self.called(self.name_here(), first=left)
            else:
                return left

    def items(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self.take(end):
            found.append(self.whole())
            if not self.take(","):
                self.need(end)
                break
        return found

    def primary(self) -> Node:
        token = self.here
        self.at += 1
        if token.kind == "number":
            number: float = float(token.text) if "." in token.text else int(token.text)
            return _constant(number, FLOAT if "." in token.text else INT)
        if token.kind == "string":
            return _constant(re.sub(r"\\(.)", r"\1", token.text[1:-1]), STRING)
        if token.text == "(":
            inner = self.whole()
            self.need(")")
            return inner
        if token.text == "[":
            parts = self.items("]")
            return Node(lambda env: [part.run(env) for part in parts])
        self.at -= 1
        if token.kind == "name" and token.text not in WORDS - set(CONSTANTS):
            return self.named()
        raise self.unexpected()

    def name_here(self) -> Token:
        if self.here.kind != "name":
            raise self.unexpected()
        self.at += 1
        return self.tokens[self.at - 1]

    def named(self) -> Node:
        token = self.name_here()
        name = token.text
        if name in CONSTANTS:
            return _constant(CONSTANTS[name], BOOL if CONSTANTS[name] is not None else ANY)
        if name.startswith(ITEM) and self.inside:
            return Node(lambda env: env[ITEM])
        if self.here.text == "(" and self.here.kind == "op":
            return self.called(token)
        self.check(token)
        return Node(lambda env: env[name], self.known.get(name, ANY))

    def check(self, token: Token) -> None:
        if token.text not in self.known and token.text not in FUNCTIONS and self.unknown is None:
            self.unknown = self.wrong(f"unknown name {token.text}", token.column)

    def called(self, token: Token, first: Node | None = None) -> Node:
        name = token.text
        self.need("(")
        if name in PREDICATES and name not in self.known:
            return self.predicate(name, first)
        self.check(token)
        arguments = [*([first] if first else []), *self.items(")")]
        function = FUNCTIONS.get(name)
        kind = self.known.get(name, ANY)

        def run(env: Environment) -> Any:
            call = env[name] if function is None or name in env else function
            return call(*(argument.run(env) for argument in arguments))

        return Node(run, kind)

    def predicate(self, name: str, first: Node | None) -> Node:
        """`any(list, what must hold for an item)`"""
        items = first
        if items is None:
            items = self.whole()
            self.need(",")
        self.inside += 1
        braces = bool(self.take("{"))
        test = self.whole()
        if braces:
            self.need("}")
        self.inside -= 1
        self.need(")")
        do, of = PREDICATES[name], items.run
        return Node(lambda env: do(of(env), lambda item: test.run({**env, ITEM: item})))


def _constant(value: Any, kind: str) -> Node:
    return Node(lambda env: value, kind)


def _or(left: Evaluate, right: Evaluate) -> Node:
    return Node(lambda env: bool(left(env)) or bool(right(env)), BOOL)


def _and(left: Evaluate, right: Evaluate) -> Node:
    return Node(lambda env: bool(left(env)) and bool(right(env)), BOOL)


def _index(left: Evaluate, key: Evaluate) -> Node:
    return Node(lambda env: left(env)[key(env)])
