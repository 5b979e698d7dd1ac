"""Compile errors that can be told without a value: unknown names, unknown fields, operators between
things that do not go together. What it does not know it takes for `dyn` and lets pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sampan.resources.cel import times, types
from sampan.resources.cel.compile import namespaced, type_named
from sampan.resources.cel.errors import EvaluationError, Issue
from sampan.resources.cel.functions import FUNCTIONS, METHODS, TYPES
from sampan.resources.cel.kubernetes import METHOD_NAMES
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
from sampan.resources.cel.relations import is_open, strangers, sum_of
from sampan.resources.cel.types import BOOL, DYN, INT, STRING, Kind
from sampan.resources.cel.values import Uint
from sampan.std import goregexp

_LITERALS: dict[type, Kind] = {
    bool: BOOL, int: INT, Uint: types.UINT, float: types.DOUBLE, str: STRING,
    bytes: types.BYTES, type(None): types.NULL,
}  # fmt: skip
_RESULTS: dict[str, Kind] = {
    "size": INT, "int": INT, "uint": types.UINT, "double": types.DOUBLE, "string": STRING,
    "bool": BOOL, "bytes": types.BYTES, "matches": BOOL, "contains": BOOL, "startsWith": BOOL,
    "endsWith": BOOL, "timestamp": types.TIMESTAMP, "duration": types.DURATION, "!_": BOOL,
    "@in": BOOL, "lowerAscii": STRING, "upperAscii": STRING, "replace": STRING, "trim": STRING,
    "substring": STRING, "charAt": STRING, "join": STRING, "format": STRING, "indexOf": INT,
    "lastIndexOf": INT, "split": types.list_of(STRING), "isSorted": BOOL, "hasValue": BOOL,
    "isQuantity": BOOL, "isIP": BOOL, "isCIDR": BOOL, "isURL": BOOL, "isSemver": BOOL,
}  # fmt: skip
_SIZELESS = types.SCALARS - {"string", "bytes"}
_FROM_STRINGS = frozenset((
    "quantity", "isQuantity", "isIP", "isCIDR", "cidr", "url", "isURL", "isSemver",
))  # fmt: skip
_STRINGS_OF_STRINGS = frozenset(("contains", "startsWith", "endsWith", "matches", "join"))
_OF_STRINGS = _STRINGS_OF_STRINGS | frozenset((
    "lowerAscii", "upperAscii", "trim", "charAt", "replace", "split", "substring",
))  # fmt: skip
"""Methods that only strings have; the first few take one string."""
_NUMBERS = ("int", "uint", "double")
_READ: dict[str, Callable[[Any], Any]] = {
    "matches": lambda text: goregexp.compiled(text) if isinstance(text, str) else None,
    "duration": lambda text: times.duration(text) if isinstance(text, str) else None,
    "timestamp": lambda given: _moment(given),
}
_ORDERED = (
    *_NUMBERS, "bool", "string", "bytes", types.TIMESTAMP.name, types.DURATION.name, "dyn",
)  # fmt: skip
_ELEMENTS = {
    "sum": (*_NUMBERS, types.DURATION.name, "dyn"),
    **dict.fromkeys(("min", "max", "isSorted", "sort"), _ORDERED),
}
"""Of lists that these methods are for."""
_CONVERSIONS = frozenset(("string", "int", "uint", "double", "bool", "bytes"))
_COUNTED = frozenset(("substring", "charAt", "slice"))
"""Methods that take numbers only."""
_LOGIC = ("_&&_", "_||_")
_EQUALITY = ("_==_", "_!=_")
_ORDER = ("_<_", "_<=_", "_>_", "_>=_")
_ARITHMETIC = ("_+_", "_-_", "_*_", "_/_", "_%_")
_EXTRA_METHODS = frozenset((
    "allowed", "check", "errored", "error", "reason", "group", "resource", "subresource",
    "namespace", "name", "path", "serviceAccount", "fieldSelector", "labelSelector",
))  # fmt: skip
"""Methods of `authorizer`, which the API server hands in."""

Scope = Mapping[str, Kind]


def check(tree: Node, variables: Scope) -> tuple[Kind, list[Issue]]:
    """The kind of the whole expression and everything that is wrong."""
    checker = _Checker()
    kind = checker.kind(tree, variables)
    return kind, checker.issues or checker.later


def kinds_in(tree: Node, variables: Scope) -> Mapping[int, Kind]:
    """The kind of every node, by its identity."""
    checker = _Checker()
    checker.kind(tree, variables)
    return checker.kinds


class _Checker:
    """Collects issues while it walks."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.kinds: dict[int, Kind] = {}
        self.later: list[Issue] = []
        """Told only where nothing else is wrong: lists and maps of several kinds."""
        self._formats = 0
        """Within how many calls of `format` it is, whose arguments may be of any kinds."""

    def kind(self, node: Node, scope: Scope) -> Kind:
        visit: Callable[[Any, Scope], Kind] = getattr(self, _VISITS[type(node)])
        found = self.kinds[id(node)] = visit(node, scope)
        return found

    def complain(self, offset: int, message: str) -> Kind:
        self.issues.append(Issue(offset, message))
        return DYN

    def literal(self, node: Literal, scope: Scope) -> Kind:
        return _LITERALS.get(type(node.value), DYN)

    def ident(self, node: Ident, scope: Scope) -> Kind:
        if node.name in scope:
            return scope[node.name]
        if node.name in TYPES:
            return DYN
        says = f"undeclared reference to '{node.name}' (in container '')"
        return self.complain(node.offset, says)

    def select(self, node: Select, scope: Scope) -> Kind:
        if type_named(node, frozenset(scope)):
            return DYN
        found = self._field(node.offset, self.kind(node.operand, scope), node.field)
        return DYN if node.optional else found

    def has(self, node: Has, scope: Scope) -> Kind:
        self._field(node.offset, self.kind(node.operand, scope), node.field)
        return BOOL

    def _field(self, offset: int, operand: Kind, field: str) -> Kind:
        if operand.fields is not None:
            if field in operand.fields:
                return operand.fields[field]
            return self.complain(offset, f"undefined field '{field}'")
        if operand.name == "map":
            return operand.items or DYN
        if operand.name in types.SCALARS or operand.name == "list":
            says = f"type '{operand}' does not support field selection"
            return self.complain(offset, says)
        return DYN

    def index(self, node: Index, scope: Scope) -> Kind:
        operand, index = self.kind(node.operand, scope), self.kind(node.index, scope)
        wanted = {"list": _NUMBERS, "map": ("string",)}.get(operand.name, (index.name,))
        closed = operand.name in types.SCALARS or operand.fields is not None
        if closed or index.name not in ("dyn", *wanted):
            return self._mismatch(node.offset, "_[_]", operand, index)
        if node.optional or operand.name == types.OPTIONAL:
            return DYN
        return operand.items or DYN

    def call(self, node: Call, scope: Scope) -> Kind:
        spaced = namespaced(node, frozenset(scope))
        target = DYN
        if node.target is not None and spaced is None:
            target = self.kind(node.target, scope)
        name = spaced or node.function
        self._formats += name == "format"
        args = [self.kind(arg, scope) for arg in node.args]
        self._formats -= name == "format"
        if name in _READ and node.args:
            self._literal(name, node.args[-1])
        if name in _LOGIC or name == "_?_:_" or not _known(node, spaced):
            return self._special(node, args)
        if name in _EQUALITY + _ORDER + _ARITHMETIC:
            return self._operator(node, args)
        told = self._misapplied(node, name, target, args)
        return told or _of_elements(name, target) or _RESULTS.get(name, DYN)

    def _misapplied(self, node: Call, name: str, target: Kind, args: list[Kind]) -> Kind | None:
        """A complaint about a function or method of things that it is not for."""
        if node.target is None:
            wrong = (
                (name == "@in" and not _may_hold(args[1], args[0]))
                or (name == "!_" and args[0].name not in ("bool", "dyn"))
                or (name == "size" and len(args) == 1 and args[0].name in _SIZELESS)
                or (name in _FROM_STRINGS and args and args[0].name not in ("string", "dyn"))
                or (name in _CONVERSIONS and args and _is_made_of(args[0]))
            )
            return self._mismatch(node.offset, name, *args) if wrong else None
        owners = ("string", "dyn", types.OPTIONAL)
        wrong = name in _OF_STRINGS - {"join"} and target.name not in owners
        if name in _STRINGS_OF_STRINGS and not wrong:
            wrong = any(arg.name not in ("string", "dyn") for arg in args)
        wrong = wrong or (name in _COUNTED and any(a.name not in ("int", "dyn") for a in args))
        wrong = wrong or (name == "reverse" and target.name in types.SCALARS)
        inner = (target.items or DYN).name
        wrong = wrong or (target.name == "list" and inner not in _ELEMENTS.get(name, (inner,)))
        wrong = wrong or (name == "flatten" and inner not in ("list", "dyn"))
        if not wrong and not (name == "size" and target.name in _SIZELESS):
            return None
        listed = ", ".join(map(str, args))
        says = f"found no matching overload for '{name}' applied to '{target}.({listed})'"
        return self.complain(node.offset, says)

    def _special(self, node: Call, args: list[Kind]) -> Kind:
        if node.function in _LOGIC:
            for arg, kind in zip(node.args, args, strict=True):
                self._expect(BOOL, kind, arg.offset)
            return BOOL
        if node.function == "_?_:_":
            return self._choice(node.offset, args)
        says = f"undeclared reference to '{node.function}' (in container '')"
        return self.complain(node.offset, says)

    def _choice(self, offset: int, args: list[Kind]) -> Kind:
        if args[0].name not in ("bool", "dyn") or strangers(args[1], args[2]):
            return self._mismatch(offset, "_?_:_", *args)
        return DYN if "dyn" in (args[1].name, args[2].name) else args[1]

    def _expect(self, wanted: Kind, found: Kind, offset: int) -> None:
        if strangers(wanted, found):
            self.complain(offset, f"expected type '{wanted}' but found '{found}'")

    def _literal(self, name: str, node: Node) -> None:
        """What is written out can be read at once."""
        if isinstance(node, Literal):
            try:
                _READ[name](node.value)
            except (goregexp.BadPattern, EvaluationError, OverflowError, ValueError):
                self.later.append(Issue(node.offset, f"invalid {name} argument"))

    def _operator(self, node: Call, args: list[Kind]) -> Kind:
        left, right = args
        name = node.function
        if name in _ARITHMETIC:
            found = sum_of(name, left, right)
            return found or self._mismatch(node.offset, name, left, right)
        numbers = left.name in _NUMBERS and right.name in _NUMBERS
        if strangers(left, right) and not (numbers and name in _ORDER):
            return self._mismatch(node.offset, name, left, right)
        if name in _ORDER and left.name == right.name == types.OPTIONAL:
            return self._mismatch(node.offset, name, left, right)
        return BOOL

    def _mismatch(self, offset: int, name: str, *args: Kind) -> Kind:
        listed = ", ".join(map(str, args))
        says = f"found no matching overload for '{name}' applied to '({listed})'"
        return self.complain(offset, says)

    def list_of(self, node: ListOf, scope: Scope) -> Kind:
        kinds = [self.kind(item, scope) for item in node.items]
        return types.list_of(self._common(node.items, kinds))

    def map_of(self, node: MapOf, scope: Scope) -> Kind:
        keys = [self.kind(key, scope) for key, _ in node.entries]
        values = [self.kind(value, scope) for _, value in node.entries]
        common = self._common([value for _, value in node.entries], values)
        return types.map_of(common) if {k.name for k in keys} <= {"string"} else DYN

    def _common(self, nodes: Sequence[Node], kinds: list[Kind]) -> Kind:
        """All elements are of one kind, unless one of them may be anything."""
        if not kinds or any(is_open(kind) for kind in kinds):
            return DYN
        odd = [at for at, kind in enumerate(kinds) if strangers(kinds[0], kind)]
        if self._formats == 0:
            self.later += [
                Issue(nodes[at].offset, f"expected type '{kinds[0]}' but found '{kinds[at]}'")
                for at in odd[:1]
            ]
        return DYN if odd else kinds[0]

    def loop(self, node: Loop, scope: Scope) -> Kind:
        over = self.kind(node.range, scope)
        if over.name in types.SCALARS or over.fields is not None:
            says = (
                f"expression of type '{over}' cannot be range of a comprehension "
                "(must be list, map, or dynamic)"
            )
            self.complain(node.range.offset, says)
        inside = {**scope, **_loop_variables(node.variables, over)}
        if node.macro in ("optMap", "optFlatMap"):
            made = self.kind(node.step, inside)
            return types.optional_of(made) if node.macro == "optMap" else made
        test = self.kind(node.filter, inside) if node.filter is not None else BOOL
        step = self.kind(node.step, inside)
        return self._looped(node, inside[node.variables[-1]], test, step)

    def _looped(self, node: Loop, one: Kind, test: Kind, step: Kind) -> Kind:
        """What the macro gives, and what is wrong with its parts."""
        if node.macro in ("all", "exists"):
            self._expect(BOOL, step, node.step.offset)
        made = types.list_of(one if node.macro in ("filter", "sortBy") else step)
        if node.macro in ("filter", "exists_one"):
            result = made if node.macro == "filter" else INT
            self._choice(node.offset, [step, result, result])
        elif node.filter is not None and node.macro in ("map", "transformList"):
            self._choice(node.offset, [test, made, made])
        if node.macro in ("filter", "sortBy", "map", "transformList"):
            return made
        return types.map_of(DYN) if node.macro.startswith("transform") else BOOL


def _loop_variables(names: tuple[str, ...], over: Kind) -> Scope:
    key, value = DYN, DYN
    if over.name == "list":
        key, value = INT, over.items or DYN
    elif over.name == "map":
        key, value = STRING, over.items or DYN
    if len(names) == 2:
        return dict(zip(names, (key, value), strict=True))
    return {names[0]: key if over.name == "map" else value}


def _moment(given: Any) -> datetime | None:
    if isinstance(given, str):
        return times.timestamp(given)
    return datetime.fromtimestamp(given, UTC) if type(given) is int else None


def _known(node: Call, spaced: str | None) -> bool:
    if spaced is not None:
        return True
    if node.target is None:
        return node.function in FUNCTIONS
    name = node.function
    return name in METHODS or name in METHOD_NAMES or name in _EXTRA_METHODS


def _may_hold(whole: Kind, part: Kind) -> bool:
    if whole.name == "list":
        return not strangers(whole.items or DYN, part)
    if whole.name == "map":
        return not strangers(STRING, part)
    return whole.name not in types.SCALARS and whole.fields is None


def _is_made_of(kind: Kind) -> bool:
    """Whether it has parts."""
    return kind.name in ("list", "map") or kind.fields is not None


def _of_elements(name: str, target: Kind) -> Kind | None:
    """What methods of lists give, where that follows from the elements."""
    if target.name != "list":
        return None
    if name in ("sum", "min", "max"):
        return target.items or DYN
    return target if name in ("sort", "distinct", "reverse", "slice") else None


def is_anything(node: Node) -> bool:
    """Whether an expression that is `dyn` is surely so, and not for want of knowledge here about a
    function's result.
    """
    if isinstance(node, Ident):
        return node.name != "authorizer"
    if isinstance(node, Select | Index):
        return not node.optional and is_anything(node.operand)
    if isinstance(node, Call):
        if node.function == "_?_:_":
            return all(map(is_anything, node.args[1:]))
        return node.function == "dyn" or (
            node.function in _ARITHMETIC and all(map(is_anything, node.args))
        )
    return False


_VISITS: dict[type, str] = {
    Literal: "literal", Ident: "ident", Select: "select", Has: "has", Index: "index",
    Call: "call", ListOf: "list_of", MapOf: "map_of", Loop: "loop",
}  # fmt: skip
