"""Go's text templates, as *template* needs them: text to a function that fills it in.

text --split--> literals and actions --body--> one closure per node, run with a dot and variables

Fields and methods of a value are items of a mapping: `.Name` is `data["Name"]`, a callable item
takes the words behind it. What stands in an action is in `gotemplate_values`, the functions that
it may call in `gotemplate_functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sampan.dns.gotemplate_functions import truth
from sampan.dns.gotemplate_text import Thing, shown
from sampan.dns.gotemplate_values import (
    Fault,
    Place,
    Render,
    State,
    Tree,
    Value,
    constant,
    pipeline,
)
from sampan.dns.gotemplate_words import BadTemplate, Part, Words, split, words_of

__all__ = ["BadTemplate", "compiled"]


class Leave(Exception):
    """`break`, or `continue` where `on`."""

    def __init__(self, on: bool) -> None:
        self.on = on


def compiled(text: str, name: str = "answer") -> Callable[[Mapping[str, Any]], str]:
    """What fills the template in. Raises BadTemplate; so does filling in what is not there."""
    tree = Tree(name, text, running=name)
    body, end = _body(tree, split(text))
    if end:
        raise BadTemplate(f"unexpected {{{{{end}}}}}")

    def fill(data: Mapping[str, Any]) -> str:
        try:
            return body(State(data, [("$", data)]))
        except (LookupError, TypeError, ArithmeticError, AttributeError, RecursionError) as bad:
            raise BadTemplate(f"cannot fill in {text!r}: {bad}") from bad

    return fill


def _body(tree: Tree, parts: list[Part]) -> tuple[Render, str]:
    """Everything up to `end` or `else`, and which of them it was."""
    pieces: list[Render] = []
    ended, mark = "", len(tree.seen)
    while parts and not ended:
        part = parts.pop()
        word = part.text.split()[0] if part.action and part.text.split() else ""
        if not part.action:
            pieces.append(_literal(part.text))
        elif word in ("end", "else"):
            ended = part.text
        elif word in _KEYWORDS:
            pieces.append(_KEYWORDS[word](tree, word, part, parts))
        elif not part.text.startswith("/*"):
            pieces.append(_action(tree, words_of(part.text, part.pos)))
    del tree.seen[mark:]
    return lambda state: "".join([piece(state) for piece in pieces]), ended


def _literal(text: str) -> Render:
    return lambda state: text


# Actions


def _action(tree: Tree, words: Words) -> Render:
    names = words.declared()
    value = pipeline(tree, words)
    if not names:
        return lambda state: shown(value(state))
    name, fresh = names[0], words.fresh
    if fresh:
        tree.seen.append(name)
    elif name not in tree.seen:
        raise BadTemplate(f'undefined variable "{name}"')

    def assign(state: State) -> str:
        found = value(state)
        if fresh:
            state.variables.append((name, found))
        else:
            state.variables[state.find(name)] = (name, found)
        return ""

    return assign


def _block(tree: Tree, word: str, part: Part, parts: list[Part]) -> Render:
    words = words_of(part.text[len(word) :], part.pos + len(word))
    if words.done():
        raise BadTemplate(f"missing value for {word}")
    mark = len(tree.seen)
    names = words.declared()
    if len(names) > (2 if word == "range" else 1):
        raise BadTemplate(f"too many declarations in {word}")
    place = tree.place(*words.rest())
    value = pipeline(tree, words)
    tree.seen += names
    tree.loops += word == "range"
    yes, end = _body(tree, parts)
    tree.loops -= word == "range"
    no = _otherwise(tree, word, end, part, parts)
    del tree.seen[mark:]
    if word == "range":
        return _range(value, names, yes, no, place)

    def render(state: State) -> str:
        with state.scope():
            found = value(state)
            state.variables += ((name, found) for name in names[:1])
            if not truth(found):
                return no(state)
            return yes(state.at(found) if word == "with" else state)

    return render


def _otherwise(tree: Tree, word: str, end: str, part: Part, parts: list[Part]) -> Render:
    """What stands behind `else`, up to `end`."""
    if end == "end":
        return _literal("")
    rest = end.removeprefix("else").strip()
    other = rest.split()[0] if rest else ""
    if other in ("if", "with"):
        if (other == "with") != (word == "with"):
            raise BadTemplate(f"unexpected <{other}> in input")
        return _block(tree, other, Part(rest, part.pos, True), parts)
    if end != "else":
        raise BadTemplate("unexpected EOF")
    no, end = _body(tree, parts)
    if end != "end":
        raise BadTemplate(f"expected end; found {{{{{end}}}}}" if end else "unexpected EOF")
    return no


def _range(value: Value, names: list[str], body: Render, empty: Render, place: Place) -> Render:
    def render(state: State) -> str:
        found, out = value(state), list[str]()
        pairs = _pairs(found)
        if pairs is None:
            raise place(Fault(f"range can't iterate over {shown(found)}"))
        for key, item in pairs:
            with state.scope():
                told = (item,) if len(names) == 1 else (key, item)
                state.variables += zip(names, told, strict=False)
                try:
                    out.append(body(state.at(item)))
                except Leave as left:
                    if not left.on:
                        break
        return "".join(out) if pairs else empty(state)

    return render


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    if value is None:
        return []
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    if isinstance(value, Mapping) and not isinstance(value, Thing):
        return sorted(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return None


def _leave(tree: Tree, word: str, part: Part, parts: list[Part]) -> Render:
    if not tree.loops:
        raise BadTemplate(f"{{{{{word}}}}} outside {{{{range}}}}")

    def leave(state: State) -> str:
        raise Leave(word == "continue")

    return leave


# Templates within the text


def _define(tree: Tree, word: str, part: Part, parts: list[Part]) -> Render:
    """`define "name"`, and `block "name" value`, which is used where it stands."""
    words = words_of(part.text[len(word) :], part.pos + len(word))
    name = words.quoted(f"{word} clause")
    value = None if word == "define" else pipeline(tree, words)
    outer = tree.running, tree.seen, tree.loops
    tree.running, tree.seen, tree.loops = name, ["$"], 0
    body, end = _body(tree, parts)
    tree.running, tree.seen, tree.loops = outer
    if end != "end":
        raise BadTemplate(f"unexpected {{{{{end}}}}}" if end else "unexpected EOF")
    tree.templates[name] = body
    return _literal("") if value is None else _used(tree, name, value, part.pos)


def _template(tree: Tree, word: str, part: Part, parts: list[Part]) -> Render:
    words = words_of(part.text[len(word) :], part.pos + len(word))
    pos, _ = words.rest()
    name = words.quoted("template clause")
    _, rest = words.rest()
    value = pipeline(tree, words) if rest else constant(None)
    return _used(tree, name, value, pos, rest)


def _used(tree: Tree, name: str, value: Value, pos: int, rest: str = "") -> Render:
    place = tree.place(pos, f'{{{{template "{name}"{rest and " " + rest}}}}}')

    def render(state: State) -> str:
        body = tree.templates.get(name)
        if body is None:
            raise place(Fault(f'template "{name}" not defined'))
        data = value(state)
        return body(State(data, [("$", data)]))

    return render


_KEYWORDS: dict[str, Callable[[Tree, str, Part, list[Part]], Render]] = {
    "if": _block, "with": _block, "range": _block, "break": _leave, "continue": _leave,
    "define": _define, "block": _define, "template": _template,
}  # fmt: skip
