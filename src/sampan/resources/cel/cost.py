"""How much an expression costs at most, before there is a value: from the bounds of its schema.

    self.items.all(i, i.name.size() < 5)     items: at most 100     -> 100 * (3 + cost of the test)

Loops are priced as what their macros stand for in cel-go: a condition, a step and a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sampan.resources.cel.check import kinds_in
from sampan.resources.cel.compile import namespaced, type_named
from sampan.resources.cel.estimates import (
    UNKNOWN,
    Estimate,
    Size,
    Sized,
    added,
    estimate,
    multiplied,
)
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
from sampan.resources.cel.parser import parse
from sampan.resources.cel.types import DYN, Kind

LIST, MAP = 10, 30
"""Of making one."""
Path = tuple[str, ...]
SizeOf = Callable[[Path], int | None]
"""The most elements of what is at a path below the variable; None where the schema says nothing."""
_SCALARS = frozenset((
    "bool", "double", "int", "uint", "google.protobuf.Timestamp", "google.protobuf.Duration",
))  # fmt: skip


_SMALL = frozenset(("ip", "cidr", "quantity", "semver"))


class Local(NamedTuple):
    """A variable of a loop."""

    path: Path
    size: Size | None = None
    entry: Size | None = None


def cost_of(source: str, variables: Mapping[str, Kind], size_of: SizeOf) -> int:
    """At most; the expression must compile."""
    tree = parse(source)
    return _Coster(kinds_in(tree, variables), size_of, frozenset(variables)).cost(tree)


@dataclass
class _Coster:
    """Walks once; `paths`, `sizes` and `entries` are by the node's identity."""

    kinds: Mapping[int, Kind]
    size_of: SizeOf
    names: frozenset[str]
    locals: dict[str, Local] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    sizes: dict[int, Size] = field(default_factory=dict)
    entries: dict[int, Size] = field(default_factory=dict)

    def cost(self, node: Node) -> int:
        visit: Callable[[Any], int] = getattr(self, _VISITS[type(node)])
        return visit(node)

    def _nothing(self, node: Literal) -> int:
        return 0

    def _name(self, node: Ident) -> int:
        return 1

    def _has(self, node: Has) -> int:
        return self.cost(node.operand)

    # Sizes.

    def path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            local = self.locals.get(node.name)
            return local.path if local else (node.name,)
        return self.paths.get(id(node), ())

    def size(self, node: Node) -> Size:
        return self._known_size(node) or UNKNOWN

    def _known_size(self, node: Node) -> Size | None:
        if id(node) in self.sizes:
            return self.sizes[id(node)]
        own = _literal_size(node)
        if own is not None:
            return own
        found = self._bound(self.path(node))
        if found is not None:
            return found
        if self.kind(node).name in _SCALARS:
            return Size(1, 1)
        local = self.locals.get(node.name) if isinstance(node, Ident) else None
        return local.size if local else None

    def _bound(self, path: Path) -> Size | None:
        if not path:
            return None
        most = self.size_of(path[1:])
        return None if most is None else Size(0, most)

    def kind(self, node: Node) -> Kind:
        return self.kinds.get(id(node), DYN)

    def _entry(self, node: Node) -> Size | None:
        if id(node) in self.entries:
            return self.entries[id(node)]
        local = self.locals.get(node.name) if isinstance(node, Ident) else None
        return local.entry if local else None

    def _sized(self, node: Node) -> Sized:
        kind = self.kind(node)
        path = self.path(node)
        item = self._bound((*path, "@items")) if path else None
        number = node.value if isinstance(node, Literal) and type(node.value) is int else None
        inner = (kind.items or DYN).name
        return Sized(self.size(node), kind.name, item or UNKNOWN, inner, number)

    # Nodes.

    def _select(self, node: Select) -> int:
        if type_named(node, self.names | self.locals.keys()):
            self.paths[id(node)] = (node.field,)
            return 1
        below = self.cost(node.operand)
        if node.optional:
            return added(below, 1)
        self.paths[id(node)] = (*self.path(node.operand), node.field)
        kind = self.kind(node.operand)
        return added(below, 1 if kind.name == "map" or kind.fields is not None else 0)

    def _index(self, node: Index) -> int:
        sum_ = added(1, self.cost(node.operand), self.cost(node.index))
        of = {"list": "@items", "map": "@values"}.get(self.kind(node.operand).name)
        if of and not node.optional:
            entry = self._entry(node.operand)
            if entry is not None:
                self.sizes[id(node)] = entry
            self.paths[id(node)] = (*self.path(node.operand), of)
        return sum_

    def _made(self, node: ListOf | MapOf) -> int:
        if isinstance(node, ListOf):
            parts: Sequence[Node] = node.items
            values, base = parts, LIST
        else:
            parts = [part for entry in node.entries for part in entry]
            values, base = [value for _, value in node.entries], MAP
        sum_ = added(base, *map(self.cost, parts))
        entry: Size | None = None
        for value in values:
            size = self.size(value)
            entry = size if entry is None else entry.union(size)
        self.entries[id(node)] = entry or Size(0, 0)
        return sum_

    def _loop(self, node: Loop) -> int:
        over, path = self.cost(node.range), self.path(node.range)
        entry, kind = self._entry(node.range), self.kind(node.range).name
        one = Size(1, 1) if entry is not None else None
        keys = Local((*path, "@indices" if kind == "list" else "@keys"), one)
        values = Local((*path, "@items" if kind == "list" else "@values"), entry)
        if node.macro in ("optMap", "optFlatMap"):
            inside = {node.variables[0]: Local(())}  # nobody knows how large it is
        elif len(node.variables) == 2:
            inside = dict(zip(node.variables, (keys, values), strict=True))
        else:
            inside = {node.variables[0]: values if kind == "list" else keys}
        test, step, size = self._inside(node, inside)
        each, around = _macro(node, test, step)
        count = self.size(node.range)
        if node.macro in ("optMap", "optFlatMap"):
            # t.hasValue() ? optional.of(a bind of t.value()) : optional.none()
            bound = added(LIST, 1, over, step, 1 if node.macro == "optMap" else 0)
            return added(over, 1, bound)
        if node.macro == "sortBy":
            return added(over, self._sorted(node, count, step))
        if node.macro in ("map", "filter", "transformList", "transformMap"):
            self.sizes[id(node)] = count
            if node.macro != "transformMap":
                self.entries[id(node)] = Size(0, size.most)
        return added(over, around, multiplied(count.most, each))

    def _sorted(self, node: Loop, count: Size, step: int) -> int:
        """A list that is bound to a name, the keys of its elements, and the sorting by them."""
        keys = added(1, LIST + 1, multiplied(count.most, added(2, LIST, step)))
        by = Sized(count, "list", UNKNOWN, self.kind(node.step).name)
        found = estimate("sort", by, [])
        self.sizes[id(node)] = found.size or UNKNOWN
        return added(LIST, 1, keys, found.cost)

    def _inside(self, node: Loop, inside: Mapping[str, Local]) -> tuple[int, int, Size]:
        """Costs of the filter and the step, and the size of an element of the result."""
        before = self.locals
        self.locals = before | dict(inside)
        try:
            test = self.cost(node.filter) if node.filter is not None else 0
            step = self.cost(node.step)
            kept = Ident(node.offset, node.variables[-1]) if node.macro == "filter" else node.step
            return test, step, self.size(kept)
        finally:
            self.locals = before

    def _call(self, node: Call) -> int:
        spaced = namespaced(node, self.names | self.locals.keys())
        name = spaced or node.function
        target = node.target if spaced is None else None
        args = [self.cost(arg) for arg in node.args]
        if name == "_?_:_":
            return self._choice(node, args)
        if name in ("_&&_", "_||_"):
            return added(*args)
        before = self.cost(target) if target is not None else 0
        sized = self._sized(target) if target is not None else None
        found = estimate(name, sized, [self._sized(arg) for arg in node.args])
        if name == "_==_" and all(map(_is_small, node.args)):
            found = Estimate(1)
        if name == "dyn" and len(node.args) == 1:
            found = found._replace(size=self._known_size(node.args[0]))
        if found.size is not None:
            self.sizes[id(node)] = found.size
        return added(before, found.cost, *args)

    def _choice(self, node: Call, args: list[int]) -> int:
        self.sizes[id(node)] = self.size(node.args[1]).union(self.size(node.args[2]))
        first, second = self._entry(node.args[1]), self._entry(node.args[2])
        if first is not None and second is not None:
            self.entries[id(node)] = first.union(second)
        return added(args[0], max(args[1:]))


def _is_small(node: Node) -> bool:
    """A value of the API server's own types that are compared in no time."""
    return isinstance(node, Call) and node.target is None and node.function in _SMALL


def _literal_size(node: Node) -> Size | None:
    if isinstance(node, Literal):
        plain = not isinstance(node.value, str | bytes)
        count = 1 if plain else len(node.value)
    elif isinstance(node, ListOf):
        count = len(node.items)
    elif isinstance(node, MapOf):
        count = len(node.entries)
    else:
        return None
    return Size(count, count)


def _macro(node: Loop, test: int, step: int) -> tuple[int, int]:
    """(cost of each round, cost around all of them) of what the macro stands for."""
    if node.macro == "all":
        return added(2, 1, step), 1  # @not_strictly_false(r); r && p
    if node.macro == "exists":
        return added(3, 1, step), 1  # @not_strictly_false(!r); r || p
    if node.macro == "exists_one":
        return added(step, 2), 2  # p ? r + 1 : r; r == 1
    if node.macro == "filter":
        return added(step, 2, LIST, 1), LIST + 1  # p ? r + [x] : r
    if node.macro in ("map", "transformList"):
        made = added(2, LIST, step)
        return added(test, max(made, 1)), LIST + 1
    return added(test, 2, 1, step), MAP + 1  # an entry put into a map


_VISITS: dict[type, str] = {
    Literal: "_nothing", Ident: "_name", Select: "_select", Has: "_has", Index: "_index",
    Call: "_call", ListOf: "_made", MapOf: "_made", Loop: "_loop",
}  # fmt: skip
