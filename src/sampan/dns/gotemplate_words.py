"""The words of Go's text templates: literals and actions, and what an action consists of."""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class BadTemplate(ValueError):
    """The text is no template, or asks for what is not there."""


class Part(NamedTuple):
    """A literal, or the inside of an action; `pos` is where it begins in the text."""

    text: str
    pos: int
    action: bool


class Word(NamedTuple):
    kind: str
    text: str
    pos: int
    value: Any = None
    """Of a constant."""


_ACTION = re.compile(
    r"""\{\{(-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)+'|/\*.*?\*/|(?!\}\}).)*?)(\s-)?\}\}""",
    re.DOTALL,
)
_WORD = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<rune>'(?:[^'\\]|\\.[^']*)')"""
    r"|(?P<number>[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\.\d+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?))"
    r"|(?P<field>\.[A-Za-z_]\w*)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<paren>\()|(?P<op>:=|[|)=,])|(?P<space>\s+)"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def split(text: str) -> list[Part]:
    """Literals and actions, with white space trimmed where `{{-` asks for it; last first."""
    parts: list[Part] = []
    end, trims = 0, False
    for found in _ACTION.finditer(text):
        literal = text[end : found.start()]
        if trims:
            literal = literal.lstrip()
        if found[1]:
            literal = literal.rstrip()
        inside = found[2]
        indent = len(inside) - len(inside.lstrip())
        parts.append(Part(literal, end, False))
        parts.append(Part(inside.strip(), found.start(2) + indent, True))
        end, trims = found.end(), bool(found[3])
    rest = text[end:]
    parts.append(Part(rest.lstrip() if trims else rest, end, False))
    if any("{{" in part.text for part in parts if not part.action):
        raise BadTemplate("unclosed action")
    return parts[::-1]


class Words:
    """An action's words, taken one after another."""

    def __init__(self, words: list[Word], text: str, start: int) -> None:
        self._words = words
        self._text = text
        self._start = start
        self._at = 0
        self.fresh = False
        """Whether what was declared is new: `:=`."""

    def done(self) -> bool:
        return not self.peek()

    def peek(self) -> str:
        self._skip()
        return self._words[self._at].text if self._at < len(self._words) else ""

    def next(self) -> Word:
        self._skip()
        word = self._words[self._at]
        self._at += 1
        if word.kind == "op":
            raise BadTemplate(f'unexpected "{word.text}" in operand')
        return word

    def take(self, op: str) -> bool:
        """Whether it is next; it is then behind us."""
        if self.peek() != op:
            return False
        self._at += 1
        return True

    def fields(self) -> list[Word]:
        """Those that follow without a space between."""
        first = self._at
        while self._at < len(self._words) and self._words[self._at].kind == "field":
            self._at += 1
        return self._words[first : self._at]

    def since(self, word: Word) -> str:
        """The text from a word to here."""
        last = self._words[self._at - 1]
        return self._text[word.pos - self._start : last.pos - self._start + len(last.text)]

    def rest(self) -> tuple[int, str]:
        """Where the words begin that are not taken yet, and their text."""
        if self.done():
            return self._start, ""
        pos = self._words[self._at].pos
        return pos, self._text[pos - self._start :].rstrip()

    def declared(self) -> list[str]:
        """The variables that get the value behind them; none for a mere value."""
        kept, names = self._at, list[str]()
        while self.peek().startswith("$"):
            names.append(self.next().text)
            if not self.take(","):
                break
        self.fresh = self.peek() == ":="
        if names and (self.take(":=") or self.take("=")):
            return names
        self._at = kept
        return []

    def quoted(self, context: str) -> str:
        """A name between quotes."""
        word = self.next() if not self.done() else Word("", "", 0)
        if word.kind != "string":
            raise BadTemplate(f'unexpected "{word.text}" in {context}')
        return str(word.value)

    def _skip(self) -> None:
        while self._at < len(self._words) and self._words[self._at].kind == "space":
            self._at += 1


def words_of(text: str, start: int) -> Words:
    """The words of an action that begins there."""
    found, pos = list[Word](), 0
    while pos < len(text):
        match = _WORD.match(text, pos)
        if match is None:
            raise BadTemplate(_unread(text[pos:]))
        kind = match.lastgroup or ""
        found.append(Word(kind, match[0], start + pos, _value(kind, match[0])))
        pos = match.end()
    return Words(found, text, start)


def _unread(text: str) -> str:
    if text[0] == "`":
        return "unterminated raw quoted string"
    if text[0] == '"':
        return "unterminated quoted string"
    if text[0] == "'":
        return f"malformed character constant: {text.split(' ')[0]}"
    return f'unexpected "{text[0]}" in command'


def _value(kind: str, text: str) -> Any:
    if kind == "string":
        return text[1:-1] if text[0] == "`" else _unquoted(text[1:-1])
    if kind == "rune":
        return ord(_unquoted(text[1:-1]))
    if kind == "number":
        return _number(text.replace("_", ""))
    return None


def _number(text: str) -> int | float:
    if "x" not in text.lower() and re.search(r"[.eE]", text):
        return float(text)
    digits = text.lstrip("+-")
    octal = digits.isdigit() and digits.startswith("0") and digits != "0"
    try:
        return int(text, 8 if octal else 0)
    except ValueError:
        raise BadTemplate(f'integer overflow: "{text}"') from None


def _unquoted(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    pattern = r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)"
    return re.sub(pattern, one, text, flags=re.DOTALL)
