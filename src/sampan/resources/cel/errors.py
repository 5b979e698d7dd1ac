"""What can go wrong with an expression: at compile time with a place, at run time without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One compile error and the offset in the text where it was seen."""

    offset: int
    message: str

    def render(self, source: str) -> str:
        """As cel-go prints it: the line and a caret under the place."""
        before = source[: self.offset]
        line = before.count("\n")
        column = self.offset - (before.rfind("\n") + 1)
        lines = source.split("\n")
        shown = lines[line].replace("\t", " ") if line < len(lines) else ""
        dots = "." * column
        return f"ERROR: <input>:{line + 1}:{column + 1}: {self.message}\n | {shown}\n | {dots}^"


class CompileError(ValueError):
    """The expression cannot be used; the message shows every issue."""

    def __init__(self, source: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: issue.offset))
        super().__init__("\n".join(issue.render(source) for issue in self.issues))


class EvaluationError(Exception):
    """The expression has no value for these objects; the message is cel-go's where it has one."""


class SyntaxIssue(Exception):
    """The parser's way out; becomes a `CompileError`."""

    def __init__(self, offset: int, message: str, lead: str = "Syntax error: ") -> None:
        super().__init__(message)
        self.issue = Issue(offset, lead + message)


def no_such_key(key: object) -> EvaluationError:
    return EvaluationError(f"no such key: {key}")


def no_such_overload() -> EvaluationError:
    return EvaluationError("no such overload")
