"""Small expressions: the conditions of *view* and the variables of *template*.

The language is a part of expr-lang's: literals, lists, calls, member and index, arithmetic,
comparison, `in`, `contains`, `startsWith`, `endsWith`, `matches`, `not and or`, `a ? b : c`.

    type() in ['A', 'AAAA'] && incidr(client_ip(), '10.0.0.0/8')
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from sampan.dns import codes
from sampan.dns.plugin import Query

Environment = Mapping[str, Any]
Evaluate = Callable[[Environment], Any]


class BadExpression(ValueError):
    """The text is no expression."""


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<op>&&|\|\||==|!=|<=|>=|\?\?|\*\*|[-+*/%<>!?:()\[\],.]))"
)

Binary = Callable[[Any, Any], Any]
LEVELS: tuple[dict[str, Binary], ...] = (
    {
        "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
        ">": operator.gt, ">=": operator.ge, "in": lambda a, b: a in b,
        "not in": lambda a, b: a not in b, "contains": lambda a, b: b in a,
        "startsWith": lambda a, b: a.startswith(b), "endsWith": lambda a, b: a.endswith(b),
        "matches": lambda a, b: re.search(b, a) is not None,
    },
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "%": operator.mod},
)  # fmt: skip
"""Operators from the weakest bond to the strongest, below `and`."""


def compiled(text: str) -> Evaluate:
    """What evaluates the expression in an environment. Raises BadExpression."""
    parser = _Parser(_tokens(text))
    found = parser.whole()
    if parser.kind:
        raise BadExpression(f"unexpected {parser.text!r} in {text!r}")
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    found, pos = [], 0
    text = text.rstrip()
    while pos < len(text):
        match = _TOKEN.match(text, pos)
        if match is None:
            raise BadExpression(f"cannot read {text[pos:]!r}")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        pos = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    @property
    def text(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, *texts: str) -> str:
        """Move on over one of these words or signs; empty when none of them is here."""
        if self.kind in ("op", "name") and self.text in texts:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def need(self, text: str) -> None:
        if not self.take(text):
            raise BadExpression(f"expected {text!r}, found {self.text!r}")

    def whole(self) -> Evaluate:
        condition = self.either()
        if not self.take("?"):
            return condition
        yes = self.whole()
        self.need(":")
        no = self.whole()
        return lambda env: yes(env) if condition(env) else no(env)

    def either(self) -> Evaluate:
        left = self.both()
        while self.take("||", "or"):
            left = _or(left, self.both())
        return left

    def both(self) -> Evaluate:
        left = self.level(0)
        while self.take("&&", "and"):
            left = _and(left, self.level(0))
        return left

    def level(self, number: int) -> Evaluate:
        if number == len(LEVELS):
            return self.unary()
        left = self.level(number + 1)
        while True:
            sign = self.operator(number)
            if not sign:
                return left
            left = _binary(LEVELS[number][sign], left, self.level(number + 1))

    def operator(self, number: int) -> str:
        following = self.tokens[self.at + 1 : self.at + 2]
        if number == 0 and self.text == "not" and following == [("name", "in")]:
            self.at += 2
            return "not in"
        return self.take(*LEVELS[number])

    def unary(self) -> Evaluate:
        if self.take("!", "not"):
            inner = self.unary()
            return lambda env: not inner(env)
        if self.take("-"):
            inner = self.unary()
            return lambda env: -inner(env)
        return self.postfix(self.primary())

    def postfix(self, left: Evaluate) -> Evaluate:
        while True:
            if self.take("("):
                left = _call(left, self.items(")"))
            elif self.take("["):
                left = _index(left, self.whole())
                self.need("]")
            elif self.take("."):
                name = self.text
                self.at += 1
                left = _index(left, _constant(name))
            else:
                return left

    def items(self, end: str) -> list[Evaluate]:
        found: list[Evaluate] = []
        while not self.take(end):
            found.append(self.whole())
            if not self.take(","):
                self.need(end)
                break
        return found

    def primary(self) -> Evaluate:
        kind, text = self.kind, self.text
        self.at += 1
        if kind == "number":
            number = float(text) if "." in text else int(text)
            return lambda env: number
        if kind == "string":
            content = re.sub(r"\\(.)", r"\1", text[1:-1])
            return lambda env: content
        if text == "(":
            inner = self.whole()
            self.need(")")
            return inner
        if text == "[":
            parts = self.items("]")
            return lambda env: [part(env) for part in parts]
        if kind == "name":
            return _name(text)
        raise BadExpression(f"unexpected {text or 'end'!r}")


def _constant(value: Any) -> Evaluate:
    return lambda env: value


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: bool(left(env)) or bool(right(env))


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: bool(left(env)) and bool(right(env))


def _binary(do: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: do(left(env), right(env))


def _call(function: Evaluate, arguments: list[Evaluate]) -> Evaluate:
    return lambda env: function(env)(*(argument(env) for argument in arguments))


def _index(left: Evaluate, key: Evaluate) -> Evaluate:
    return lambda env: left(env)[key(env)]


def _name(name: str) -> Evaluate:
    constants = {"true": True, "false": False, "nil": None}
    if name in constants:
        value = constants[name]
        return lambda env: value
    return lambda env: env[name]


def environment(query: Query) -> dict[str, Any]:
    """What an expression may ask about a query."""
    client, facts = query.client, query.metadata or {}
    edns = query.edns
    return {
        "incidr": _in_network,
        "metadata": lambda label: facts[label]() if label in facts else "",
        "type": lambda: codes.type_name(query.type),
        "name": lambda: query.name,
        "class": lambda: codes.class_name(query.cls),
        "proto": lambda: client.proto,
        "size": lambda: 16 + len(query.qname) + 1 + (11 if edns else 0),
        "client_ip": lambda: client.address,
        "port": lambda: str(client.port),
        "id": lambda: query.message.id,
        "opcode": lambda: query.message.opcode,
        "do": lambda: query.do,
        "bufsize": lambda: query.size,
        "server_ip": lambda: client.local,
        "server_port": lambda: str(client.local_port),
        "len": len,
        "lower": str.lower,
        "upper": str.upper,
        "trim": str.strip,
        "split": str.split,
        "int": int,
        "string": str,
    }


def _in_network(address: str, network: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
