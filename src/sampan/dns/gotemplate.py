"""Go's text templates, as far as *template* needs them.

Fields and methods of a value are items of a mapping: `.Name` is `data["Name"]`, a callable item
takes the words behind it. Known: if, else, range, with, end, variables, pipes, and the functions
below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Scope = dict[str, Any]
Render = Callable[[Any, Scope], str]
Value = Callable[[Any, Scope], Any]


class BadTemplate(ValueError):
    """The text is no template, or asks for what is not there."""


_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_WORD = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\]|\\.)*\"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<rune>'(?:[^'\\]|\\.)')"
    r"|(?P<path>\$?\w*(?:\.\w+)+|\.|\$\w*)|(?P<name>\w+)|(?P<op>:=|[|()=]))"
)


def _printf(form: str, *values: Any) -> str:
    return re.sub("%v", "%s", form) % values


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "printf": _printf,
    "print": lambda *v: "".join(map(str, v)),
    "println": lambda *v: " ".join(map(str, v)) + "\n",
    "len": len,
    "index": lambda value, *keys: _indexed(value, keys),
    "slice": lambda value, *ends: value[slice(*ends)],
    "eq": lambda a, *bs: any(a == b for b in bs),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "not": lambda a: not a,
    "and": lambda *v: next((x for x in v if not x), v[-1]),
    "or": lambda *v: next((x for x in v if x), v[-1]),
    "parseInt": lambda text, base, bits: int(text, base),
    "urlquery": str,
    "html": str,
}


def _indexed(value: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        value = value[key]
    return value


def compiled(text: str) -> Callable[[Mapping[str, Any]], str]:
    """What fills the template in. Raises BadTemplate; so does filling in what is not there."""
    parts = _split(text)
    body, end = _body(parts)
    if end:
        raise BadTemplate(f"unexpected {{{{{end}}}}}")

    def fill(data: Mapping[str, Any]) -> str:
        try:
            return body(data, {"": data})
        except (LookupError, TypeError, ValueError, AttributeError) as bad:
            raise BadTemplate(f"cannot fill in {text!r}: {bad}") from bad

    return fill


def _split(text: str) -> list[tuple[str, str]]:
    """Literals and actions, with white space trimmed where `{{-` asks for it; last first."""
    parts: list[tuple[str, str]] = []
    end, trims = 0, False
    for found in _ACTION.finditer(text):
        literal = text[end : found.start()]
        if trims:
            literal = literal.lstrip()
        if found[1]:
            literal = literal.rstrip()
        parts += [("text", literal), ("action", found[2].strip())]
        end, trims = found.end(), bool(found[3])
    rest = text[end:]
    parts.append(("text", rest.lstrip() if trims else rest))
    if "{{" in "".join(part for kind, part in parts if kind == "text"):
        raise BadTemplate("unclosed action")
    return parts[::-1]


def _body(parts: list[tuple[str, str]]) -> tuple[Render, str]:
    """Everything up to `end` or `else`, and which of them it was."""
    pieces: list[Render] = []
    ended = ""
    while parts and not ended:
        kind, part = parts.pop()
        word = part.split()[0] if kind == "action" and part.split() else ""
        if kind == "text":
            pieces.append(_literal(part))
        elif word in ("end", "else"):
            ended = part
        elif word in ("if", "range", "with"):
            pieces.append(_block(word, part[len(word) :], parts))
        elif not part.startswith("/*"):
            pieces.append(_action(part))
    return _joined(pieces), ended


def _joined(pieces: list[Render]) -> Render:
    return lambda dot, scope: "".join(piece(dot, scope) for piece in pieces)


def _literal(text: str) -> Render:
    return lambda dot, scope: text


def _block(word: str, condition: str, parts: list[tuple[str, str]]) -> Render:
    if not condition.strip():
        raise BadTemplate(f"missing value for {word}")
    value = _pipeline(_words(condition))
    yes, end = _body(parts)
    no: Render = _literal("")
    if end.startswith("else if"):
        no = _block("if", end.removeprefix("else if"), parts)
    elif end == "else":
        no, end = _body(parts)
        if end != "end":
            raise BadTemplate("unexpected EOF")
    elif end != "end":
        raise BadTemplate("unexpected EOF")

    def render(dot: Any, scope: Scope) -> str:
        found = value(dot, scope)
        if not found:
            return no(dot, scope)
        if word == "range":
            return "".join(yes(item, dict(scope)) for item in found)
        return yes(found if word == "with" else dot, dict(scope))

    return render


def _action(text: str) -> Render:
    words = _words(text)
    if len(words) > 2 and words[1] in (("op", ":="), ("op", "=")):
        name, value = words[0][1], _pipeline(words[2:])

        def assign(dot: Any, scope: Scope) -> str:
            scope[name[1:]] = value(dot, scope)
            return ""

        return assign
    shown = _pipeline(words)
    return lambda dot, scope: _shown(shown(dot, scope))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<no value>" if value is None else str(value)


def _words(text: str) -> list[tuple[str, str]]:
    found, pos = [], 0
    text = text.strip()
    while pos < len(text):
        match = _WORD.match(text, pos)
        if match is None:
            raise BadTemplate(f"cannot read {text[pos:]!r}")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        pos = match.end()
    return found


def _pipeline(words: list[tuple[str, str]]) -> Value:
    """Commands, each given the value of the one before as its last argument."""
    commands: list[list[tuple[str, str]]] = [[]]
    depth = 0
    for word in words:
        depth += (word == ("op", "(")) - (word == ("op", ")"))
        if word == ("op", "|") and depth == 0:
            commands.append([])
        else:
            commands[-1].append(word)
    stages = [_command(command, len(commands) > 1) for command in commands]

    def evaluate(dot: Any, scope: Scope) -> Any:
        carried: tuple[Any, ...] = ()
        for stage in stages:
            carried = (stage(dot, scope, carried),)
        return carried[0]

    return evaluate


Stage = Callable[[Any, Scope, tuple[Any, ...]], Any]


def _command(words: list[tuple[str, str]], piped: bool = False) -> Stage:
    if not words and piped:
        raise BadTemplate('unexpected "|" in command')
    if not words:
        raise BadTemplate("missing value for command")
    operands = _operands(words)
    head, arguments = operands[0], operands[1:]

    def run(dot: Any, scope: Scope, carried: tuple[Any, ...]) -> Any:
        value = head(dot, scope)
        values = (*(argument(dot, scope) for argument in arguments), *carried)
        return value(*values) if callable(value) else value

    return run


def _operands(words: list[tuple[str, str]]) -> list[Value]:
    found: list[Value] = []
    rest = list(words)
    while rest:
        kind, text = rest.pop(0)
        if (kind, text) == ("op", "("):
            depth, inner = 1, []
            while rest and depth:
                word = rest.pop(0)
                depth += (word == ("op", "(")) - (word == ("op", ")"))
                if depth:
                    inner.append(word)
            found.append(_pipeline(inner))
        else:
            found.append(_operand(kind, text))
    return found


def _operand(kind: str, text: str) -> Value:
    if kind == "string":
        content = text[1:-1] if text[0] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1])
        return lambda dot, scope: content
    if kind == "rune":
        code = ord(text[-2])
        return lambda dot, scope: code
    if kind == "number":
        number = float(text) if "." in text else int(text)
        return lambda dot, scope: number
    if kind == "path":
        return _path(text)
    if text in ("true", "false", "nil"):
        constant = {"true": True, "false": False, "nil": None}[text]
        return lambda dot, scope: constant
    if kind == "name" and text in FUNCTIONS:
        function = FUNCTIONS[text]
        return lambda dot, scope: function
    raise BadTemplate(f'function "{text}" not defined')


def _path(text: str) -> Value:
    start, *names = text.split(".")
    names = [name for name in names if name]

    def find(dot: Any, scope: Scope) -> Any:
        value = scope[start[1:]] if start.startswith("$") else dot
        for name in names:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value

    return find
