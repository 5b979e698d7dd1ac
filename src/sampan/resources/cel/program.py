"""The door to CEL: a text and its variables become a program that can be run many times.

Parser, checker and functions are imported with the first expression: most servers never see one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sampan.resources.cel import types
from sampan.resources.cel.errors import CompileError, EvaluationError, SyntaxIssue
from sampan.resources.cel.loops import Run, Step
from sampan.resources.cel.types import Kind

__all__ = ["CompileError", "EvaluationError", "Program", "compile_expression"]


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; `kind` is what it gives, as far as that is known."""

    source: str
    kind: Kind
    step: Step

    def run(self, values: Mapping[str, Any]) -> Any:
        """The value; `EvaluationError` where there is none."""
        try:
            return self.step(Run(dict(values)))
        except RecursionError:
            raise EvaluationError("expression is nested too deeply") from None


def compile_expression(source: str, variables: Mapping[str, Kind]) -> Program:
    """Raises `CompileError` with every issue that can be seen without values."""
    from sampan.resources.cel.check import check
    from sampan.resources.cel.compile import build
    from sampan.resources.cel.parser import parse

    try:
        tree = parse(source)
    except SyntaxIssue as error:
        raise CompileError(source, [error.issue]) from None
    kind, issues = check(tree, variables)
    if issues:
        raise CompileError(source, issues)
    return Program(source, kind, build(tree, frozenset(variables)))


def cost_of(
    source: str,
    variables: Mapping[str, Kind],
    wanted: Kind,
    size_of: Callable[[tuple[str, ...]], int | None],
) -> int | None:
    """What the expression costs at most, by the sizes that the schema allows; None for one that
    does not compile, or gives something else than is wanted.
    """
    from sampan.resources.cel.cost import cost_of as priced

    try:
        compiled = compile_expression(source, variables)
    except CompileError:
        return None
    return priced(source, variables, size_of) if expects(compiled, wanted) else None


def is_anything(source: str) -> bool:
    """Whether what compiles as `dyn` is so in upstream's eyes too."""
    from sampan.resources.cel.check import is_anything as surely
    from sampan.resources.cel.parser import parse

    return surely(parse(source))


def expects(program: Program, kind: Kind) -> bool:
    """Whether the program can give such a value."""
    return program.kind.name in (kind.name, types.DYN.name)
