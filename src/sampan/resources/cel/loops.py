"""One evaluation, and the macros that loop in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cmp_to_key
from typing import Any

from sampan.resources.cel.errors import EvaluationError, no_such_overload
from sampan.resources.cel.values import less

MAX_STEPS = 100_000
"""Turns of loops in one run; upstream counts costs, this keeps the server answering as well."""


class Run:
    """The variables of one evaluation and how much it may still loop."""

    __slots__ = ("steps", "variables")

    def __init__(self, variables: dict[str, Any]) -> None:
        self.variables = variables
        self.steps = MAX_STEPS

    def tick(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise EvaluationError("operation cancelled: actual cost limit exceeded")


Step = Callable[[Run], Any]
Turns = Iterator[tuple[Any, Any]]


def turns(items: Any, variables: tuple[str, ...], run: Run) -> Turns:
    """Sets the loop variables, one turn after the other; yields (key, element)."""
    if isinstance(items, Mapping):
        pairs = list(items.items())
    elif isinstance(items, list):
        pairs = list(enumerate(items))
    else:
        raise no_such_overload()
    by_key = isinstance(items, Mapping)
    for key, value in pairs:
        run.tick()
        if len(variables) == 2:
            run.variables[variables[0]], run.variables[variables[1]] = key, value
            yield key, value
        else:
            element = key if by_key else value
            run.variables[variables[0]] = element
            yield key, element


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise no_such_overload()
    return value


def _quantifier(found: Turns, step: Step, run: Run, *, decides: bool) -> bool:
    failure: EvaluationError | None = None
    for _ in found:
        try:
            if _truth(step(run)) is decides:
                return decides
        except EvaluationError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return not decides


def _all(found: Turns, step: Step, chosen: Step | None, run: Run) -> bool:
    return _quantifier(found, step, run, decides=False)


def _exists(found: Turns, step: Step, chosen: Step | None, run: Run) -> bool:
    return _quantifier(found, step, run, decides=True)


def _exists_one(found: Turns, step: Step, chosen: Step | None, run: Run) -> bool:
    return sum(1 for _ in found if _truth(step(run))) == 1


def _filter(found: Turns, step: Step, chosen: Step | None, run: Run) -> list[Any]:
    return [element for _, element in found if _truth(step(run))]


def _wanted(chosen: Step | None, run: Run) -> bool:
    return chosen is None or _truth(chosen(run))


def _to_list(found: Turns, step: Step, chosen: Step | None, run: Run) -> list[Any]:
    return [step(run) for _ in found if _wanted(chosen, run)]


def _to_map(found: Turns, step: Step, chosen: Step | None, run: Run) -> dict[Any, Any]:
    return {key: step(run) for key, _ in found if _wanted(chosen, run)}


def _to_entries(found: Turns, step: Step, chosen: Step | None, run: Run) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for _ in found:
        if _wanted(chosen, run):
            out |= step(run)
    return out


def _sorted(found: Turns, step: Step, chosen: Step | None, run: Run) -> list[Any]:
    """By the keys that the step gives, which must be of one kind."""
    keyed = [(step(run), element) for _, element in found]
    first = Counter(type(key) for key, _ in keyed)
    if len(first) > 1:
        raise EvaluationError("list elements must have the same type")
    return [element for _, element in sorted(keyed, key=cmp_to_key(_before))]


def _before(left: tuple[Any, Any], right: tuple[Any, Any]) -> int:
    return less(right[0], left[0]) - less(left[0], right[0])


MACROS: dict[str, Callable[[Turns, Step, Step | None, Run], Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _to_list,
    "sortBy": _sorted,
    "transformList": _to_list,
    "transformMap": _to_map,
    "transformMapEntry": _to_entries,
}
