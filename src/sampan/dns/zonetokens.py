"""The words of a zone file (RFC 1035 section 5.1): what quotes, parentheses, comments and escapes
mean, and where each word ends, since errors tell the place.

A word's column is what had been read of its line when it was known to be over: with the blank, the
quote or the semicolon behind it, without the end of the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    OWNER = auto()
    """The first word of a line, with a blank behind it."""
    WORD = auto()
    BLANK = auto()
    QUOTE = auto()
    NEWLINE = auto()
    WRONG = auto()
    """Nothing more can be read; the text says why."""
    END = auto()


class Token(NamedTuple):
    kind: Kind
    text: str = ""
    line: int = 0
    column: int = 0
    stop: str = ""
    """The character that ended a word."""


END = Token(Kind.END)


class Tokens:
    """A stream with one token of lookahead."""

    def __init__(self, content: Iterable[str]) -> None:
        self._tokens = _tokens(content)
        self._ahead: list[Token] = []

    def next(self) -> Token:
        return self._ahead.pop() if self._ahead else next(self._tokens, END)

    def peek(self) -> Token:
        if not self._ahead:
            self._ahead.append(next(self._tokens, END))
        return self._ahead[0]


def _tokens(content: Iterable[str]) -> Iterator[Token]:  # noqa: C901, PLR0912, PLR0915 - one machine
    """A blank is told of once, however long; an end of line within parentheses is nothing."""
    line, column, over, depth = 1, 0, False, 0
    word, first = "", True
    escaped = quoted = comment = blank = False
    for char in content:
        if over:
            line, column, over = line + 1, 0, False
        over = char == "\n"
        column += not over
        if comment and not over:
            continue
        if char in " \t;()" and (escaped or quoted):
            word, escaped = word + char, False
        elif char in " \t":
            if word:
                yield Token(Kind.OWNER if first else Kind.WORD, word, line, column, " ")
            word, first = "", False
            if not blank:
                blank = True
                yield Token(Kind.BLANK, " ", line, column)
        elif char == ";":
            comment = True
            if word:
                yield Token(Kind.WORD, word, line, column, ";")
            word = ""
        elif over:
            escaped = False
            if quoted:
                word += char
            elif depth == 0:
                if word:
                    yield Token(Kind.WORD, word, line, column, "\n")
                word, first = "", True
                yield Token(Kind.NEWLINE, "\n", line, column)
            comment = False
        elif char == "\r":
            escaped = False
            word += char if quoted else ""
        elif char == "\\":
            word, escaped = word + char, not escaped
        elif char == '"' and not escaped:
            blank = False
            if word:
                yield Token(Kind.WORD, word, line, column, '"')
            word, quoted = "", not quoted
            yield Token(Kind.QUOTE, '"', line, column)
        elif char in "()":
            depth += 1 if char == "(" else -1
            if depth < 0:
                yield Token(Kind.WRONG, "extra closing brace", line, column)
                return
        else:
            word, escaped, blank = word + char, False, blank and char == '"'
    if word:
        yield Token(Kind.WORD, word, line, column)
    if comment:
        yield Token(Kind.NEWLINE, "\n", line, column)
    elif depth:
        yield Token(Kind.WRONG, "unbalanced brace", line, column)
