"""Tokens to a syntax tree, by recursive descent; macros become nodes of their own."""

from __future__ import annotations

from collections.abc import Callable

from sampan.resources.cel.errors import SyntaxIssue
from sampan.resources.cel.lexer import Token, tokens
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

DEEPEST = 250
_LOOPS = {
    "all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (3,), "filter": (2,),
    "map": (2, 3), "sortBy": (2,), "transformList": (3, 4), "transformMap": (3, 4),
    "transformMapEntry": (3, 4), "optMap": (2,), "optFlatMap": (2,),
}  # fmt: skip
_RELATIONS = ("<", "<=", ">=", ">", "==", "!=", "in")
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def parse(source: str) -> Node:
    """Raises `SyntaxIssue`."""
    parser = _Parser(tokens(source))
    tree = parser.expression()
    parser.expect_end()
    return tree


class _Parser:
    """A cursor over the tokens; each method reads one level of precedence."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise SyntaxIssue(self._next.offset, f"expression recursion limit exceeded: {DEEPEST}")
        tree = self._binary(0)
        if self._next.text == "?" and self._next.kind == "op":
            offset = self._take().offset
            yes = self._binary(0)
            self._expect(":")
            tree = Call(offset, "_?_:_", None, (tree, yes, self.expression()))
        self._depth -= 1
        return tree

    def expect_end(self) -> None:
        if self._next.kind != "end":
            raise self._unexpected("<EOF>")

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, text: str) -> bool:
        return self._next.kind == "op" and self._next.text == text

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> Token:
        if not self._is(text):
            raise self._unexpected(f"'{text}'")
        return self._take()

    def _unexpected(self, wanted: str) -> SyntaxIssue:
        got = self._next
        last = wanted == "<EOF>" and self._at + 2 >= len(self._tokens)
        what = "extraneous" if last else "mismatched"
        return SyntaxIssue(got.offset, f"{what} input '{got.text}' expecting {wanted}")

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        tree = self._binary(level + 1)
        while self._next.text in _LEVELS[level] and self._next.kind in ("op", "ident"):
            token = self._take()
            name = "@in" if token.text == "in" else f"_{token.text}_"
            tree = Call(token.offset, name, None, (tree, self._binary(level + 1)))
        return tree

    def _unary(self) -> Node:
        token = self._next
        if self._accept("!"):
            return Call(token.offset, "!_", None, (self._unary(),))
        if self._accept("-"):
            operand = self._unary()
            if isinstance(operand, Literal) and type(operand.value) in (int, float):
                return Literal(token.offset, -operand.value)
            return Call(token.offset, "-_", None, (operand,))
        return self._member(self._primary())

    def _member(self, tree: Node) -> Node:
        while True:
            if self._is("."):
                tree = self._selection(tree)
            elif self._is("["):
                offset = self._take().offset
                optional = self._accept("?")
                index = self.expression()
                self._expect("]")
                tree = Index(offset, tree, index, optional)
            else:
                return tree

    def _selection(self, operand: Node) -> Node:
        dot = self._take()
        optional = self._accept("?")
        if self._next.kind != "ident":
            if self._next.kind == "end":
                says = "no viable alternative at input '.'"
                raise SyntaxIssue(self._next.offset, says)
            raise self._unexpected("IDENTIFIER")
        name = self._take()
        if self._is("("):
            return self._call(self._take().offset, operand, name.text)
        return Select(dot.offset, operand, name.text, optional)

    def _call(self, offset: int, target: Node | None, name: str) -> Node:
        args = self._arguments(")")
        macro = _macro(offset, target, name, args)
        return macro or Call(offset, name, target, args)

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._is(closing):
            found.append(self.expression())
            if not self._accept(","):
                break
        self._expect(closing)
        return tuple(found)

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "value":
            return Literal(token.offset, token.value)
        if token.kind == "ident":
            return self._name(token)
        opened: dict[str, Callable[[Token], Node]] = {
            "(": self._group, "[": self._list, "{": self._map, ".": self._rooted,
        }  # fmt: skip
        read = opened.get(token.text) if token.kind == "op" else None
        if read is None:
            self._at -= 1
            what = f"'{token.text}'"
            wanted = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, "
            wanted += "NUM_UINT, STRING, BYTES, IDENTIFIER}"
            raise SyntaxIssue(token.offset, f"mismatched input {what} expecting {wanted}")
        return read(token)

    def _name(self, token: Token) -> Node:
        if token.text in _RESERVED:
            raise SyntaxIssue(token.offset, f"reserved identifier: {token.text}")
        if self._is("("):
            return self._call(self._take().offset, None, token.text)
        return Ident(token.offset, token.text)

    def _rooted(self, dot: Token) -> Node:
        if self._next.kind != "ident":
            raise self._unexpected("IDENTIFIER")
        return self._name(self._take())

    def _group(self, opening: Token) -> Node:
        tree = self.expression()
        self._expect(")")
        return tree

    def _list(self, opening: Token) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self._is("]"):
            if self._accept("?"):
                optional.add(len(items))
            items.append(self.expression())
            if not self._accept(","):
                break
        self._expect("]")
        return ListOf(opening.offset, tuple(items), frozenset(optional))

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: set[int] = set()
        while not self._is("}"):
            if self._accept("?"):
                optional.add(len(entries))
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            if not self._accept(","):
                break
        self._expect("}")
        return MapOf(opening.offset, tuple(entries), frozenset(optional))


_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), _RELATIONS, ("+", "-"), ("*", "/", "%"),
)  # fmt: skip


def _macro(offset: int, target: Node | None, name: str, args: tuple[Node, ...]) -> Node | None:
    if name == "has" and target is None and len(args) == 1:
        tested = args[0]
        if not isinstance(tested, Select):
            raise SyntaxIssue(offset, "invalid argument to has() macro")
        return Has(offset, tested.operand, tested.field)
    if target is None or len(args) not in _LOOPS.get(name, ()):
        return None
    return _loop(offset, target, name, args)


def _loop(offset: int, target: Node, name: str, args: tuple[Node, ...]) -> Node | None:
    variables: tuple[str, ...]
    if name == "map":
        chosen = args[1] if len(args) == 3 else None
        return Loop(offset, name, target, (_variable(args[0]),), chosen, args[-1])
    if name.startswith("transform"):
        variables = (_variable(args[0]), _variable(args[1]))
        chosen = args[2] if len(args) == 4 else None
        return Loop(offset, name, target, variables, chosen, args[-1])
    variables = tuple(_variable(each) for each in args[:-1])
    return Loop(offset, name.replace("existsOne", "exists_one"), target, variables, None, args[-1])


def _variable(node: Node) -> str:
    if not isinstance(node, Ident):
        raise SyntaxIssue(node.offset, "argument must be a simple name", "")
    return node.name
