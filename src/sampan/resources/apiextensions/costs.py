"""The price of a schema's rules: of each, and of all together. A rule that could keep the server
busy for long is refused when the definition is written, not when an object comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.cel import program, types
from sampan.resources.custom import sizes, validations
from sampan.resources.rules import Errors

RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
MOST = 2**64 - 1
SHOWN = 4
"""So many of the most expensive rules are named when all together are too much."""


class Priced(NamedTuple):
    """A rule or its message expression, and what it may cost in one request."""

    path: str
    cost: int
    what: str


class Cardinality(NamedTuple):
    """How often a value may be there: a product of bounds, or None where one is missing."""

    known: int | None = 1

    def below(self, schema: Json) -> Cardinality:
        if self.known is None:
            return self
        kind = schema.get("type")
        if kind == "array":
            bound = schema.get("maxItems")
        elif kind == "object" and schema.get("additionalProperties") is not None:
            bound = schema.get("maxProperties")
        else:
            return self
        return Cardinality(None if bound is None else min(self.known * max(bound, 0), MOST))


Below = Callable[[Json, str], list[tuple[str, Json, str]]]


def prices(schema: Json, path: str, below: Below) -> list[Priced]:
    """Of all rules that compile, in the order in which upstream meets them."""
    return list(_priced(schema, path, Cardinality(), below))


def limit(one: Priced) -> Errors:
    """A complaint about one that is too expensive by itself."""
    if one.cost <= RULE_LIMIT:
        return []
    return rules.forbidden(one.path, excess(one.what, one.cost, RULE_LIMIT))


def total(priced: Sequence[Priced], path: str) -> Errors:
    """What is too expensive together, and which rules are to blame."""
    cost = min(sum(one.cost for one in priced), MOST)
    if cost <= SCHEMA_LIMIT:
        return []
    blamed = sorted(
        (one for one in priced if one.cost >= SCHEMA_LIMIT // 100),
        key=lambda one: one.cost,
        reverse=True,
    )
    errors: Errors = []
    for one in blamed[:SHOWN]:
        says = (
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 "
            "schema"
        )
        errors.append(FieldError("Forbidden", one.path, detail=says))
    what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    return errors + rules.forbidden(path, excess(what, cost, SCHEMA_LIMIT))


def excess(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = (
        "more than 100" if factor > 100 else f"{factor:.6f}" if factor < 1.5 else f"{factor:.1f}"
    )
    return (
        f"{what} exceeds budget by factor of {shown}x (try simplifying the rule, or adding "
        "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def _priced(
    schema: Json, path: str, often: Cardinality, below: Below, *, root: bool = True
) -> Iterator[Priced]:
    """In the order in which upstream meets them: what is below comes first."""
    further = often.below(schema)
    for _, part, here in below(schema, path):
        yield from _priced(part, here, further, below, root=False)
    listed = schema.get(validations.VALIDATIONS) or ()
    bounds = sizes.bounds_of(schema, root=root) if listed else None
    if bounds is None:
        return
    count = bounds.cardinality if often.known is None else often.known
    for at, rule in enumerate(listed):
        names = validations.variables(schema, rule, root=root)
        where = f"{path}.{validations.VALIDATIONS}[{at}]"
        cost = program.cost_of(rule["rule"], names, types.BOOL, bounds.at)
        if cost is None:
            continue
        yield Priced(f"{where}.rule", min(cost * count, MOST), "estimated rule cost")
        written = rule.get("messageExpression")
        cost = program.cost_of(written, names, types.STRING, bounds.at) if written else None
        if cost is not None:
            yield Priced(f"{where}.messageExpression", cost, "estimated messageExpression cost")
