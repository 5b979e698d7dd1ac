"""JSONPath in Kubernetes' dialect: columns of custom kinds, and a little of `kubectl -o jsonpath`.

    find(".spec.containers[0].image", obj)              the values that the path leads to
    render("{.metadata.name}{'\\n'}", obj)               a template
    find(".status.conditions[?(@.type=='Ready')].status", obj)

Names, `['name']`, wildcards, indices and slices, unions, filters, and `..` are understood. A
missing name leads nowhere, which is no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_NAME = re.compile(r"(?:\\.|[^\s.\\\[\]{}(),'\"@?*=<>!])+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d+))?")
_FILTER = re.compile(r"\?\((.+)\)", re.DOTALL)
_COMPARISON = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)", re.DOTALL)

Step = Callable[[Any], Iterator[Any]]


class PathError(ValueError):
    """The text is no path."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path."""

    steps: tuple[Step, ...]

    def find(self, value: Any) -> list[Any]:
        found = [value]
        for step in self.steps:
            found = [inner for item in found for inner in step(item)]
        return found


def find(text: str, value: Any) -> list[Any]:
    """The values that the path leads to, in order."""
    return parse(text).find(value)


@lru_cache(maxsize=512)
def parse(text: str) -> Path:
    """`.a.b`, `a.b`, `$.a`, `{.a}`; PathError if it is none."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        step, at = _step(text, at)
        steps.append(step)
    return Path(tuple(steps))


def render(template: str, value: Any) -> str:
    """A template: text, and paths or quoted text in braces."""
    out = []
    for part in re.findall(r"\{[^{}]*\}|[^{}]+", template):
        if not part.startswith("{"):
            out.append(part)
        elif part[1:2] in "'\"":
            out.append(_unquoted(part[1:-1]))
        else:
            out.append(" ".join(printed(item) for item in find(part, value)))
    return "".join(out)


def printed(value: Any) -> str:
    """A value as text: strings bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _step(text: str, at: int) -> tuple[Step, int]:
    if text.startswith("..", at):
        return _descendants, at + 1 if text[at + 2 : at + 3] != "[" else at + 2
    if text[at] == "[":
        end = _closing(text, at)
        return _bracket(text[at + 1 : end].strip()), end + 1
    if text[at] == ".":
        at += 1
        if at == len(text):
            return _itself, at
    if text.startswith("*", at):
        return _children, at + 1
    match = _NAME.match(text, at)
    if match is None:
        raise PathError(f"unrecognized character in action: {text[at : at + 1]!r} in {text!r}")
    return _member(match[0].replace("\\.", ".")), match.end()


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth, quote = 0, ""
    for at in range(start, len(text)):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return at
    raise PathError(f"unterminated array in {text!r}")


def _bracket(inner: str) -> Step:
    if inner == "*":
        return _children
    filtered = _FILTER.fullmatch(inner)
    if filtered:
        return _filter(filtered[1])
    if inner[:1] in ("'", '"') and "," not in inner:
        return _member(_unquoted(inner))
    parts = [part.strip() for part in inner.split(",")]
    steps = [_item(part) for part in parts]
    return steps[0] if len(steps) == 1 else _union(steps)


def _item(part: str) -> Step:
    if part[:1] in ("'", '"'):
        return _member(_unquoted(part))
    if re.fullmatch(r"-?\d+", part):
        return _index(int(part))
    match = _SLICE.fullmatch(part)
    if match is None:
        raise PathError(f"invalid array index {part}")
    low, high, by = (int(text) if text else None for text in match.groups())
    return _slice(slice(low, high, by))


def _unquoted(text: str) -> str:
    inner = text.strip()[1:-1]
    return inner.replace("\\n", "\n").replace("\\t", "\t").replace("\\'", "'")


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _slice(span: slice) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[span]

    return step


def _union(steps: Iterable[Step]) -> Step:
    chosen = tuple(steps)

    def step(value: Any) -> Iterator[Any]:
        for inner in chosen:
            yield from inner(value)

    return step


def _itself(value: Any) -> Iterator[Any]:
    yield value


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descendants(value: Any) -> Iterator[Any]:
    yield value
    for child in _children(value):
        yield from _descendants(child)


def _filter(text: str) -> Step:
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        exists = parse(text)

        def present(value: Any) -> Iterator[Any]:
            yield from (item for item in _children(value) if exists.find(item))

        return present
    left, sign, right = _operand(match[1]), match[2], _operand(match[3])

    def compared(value: Any) -> Iterator[Any]:
        for item in _children(value):
            if any(_holds(a, sign, b) for a in left(item) for b in right(item)):
                yield item

    return compared


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if text.startswith(("@", "$")):
        return parse(text).find
    if text[:1] in ("'", '"'):
        literal: Any = _unquoted(text)
    else:
        try:
            literal = json.loads(text)
        except ValueError:
            raise PathError(f"unrecognized operand {text!r}") from None
    return lambda _item: [literal]


def _holds(left: Any, sign: str, right: Any) -> bool:
    if sign in ("==", "!="):
        return bool((left == right) == (sign == "=="))
    if type(left) is not type(right) or not isinstance(left, (int, float, str)):
        return False
    below, above = bool(left < right), bool(left > right)
    return {"<": below, ">": above, "<=": not above, ">=": not below}[sign]
