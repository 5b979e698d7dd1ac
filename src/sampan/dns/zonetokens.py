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


def _tokens(content: Iterable[str]) -> Iterator[Token]:
    scanner = _Scanner()
    for char in content:
        scanner.take(char)
        if scanner.found:
            yield from scanner.found
            if scanner.found[-1].kind is Kind.WRONG:
                return
            scanner.found.clear()
    yield from scanner.rest()


class _Scanner:
    """One character after another. A blank is told of once, however long; an end of line within
    parentheses is nothing.
    """

    def __init__(self) -> None:
        self.found: list[Token] = []
        self.line, self.column, self.over, self.depth = 1, 0, False, 0
        self.word, self.first = "", True
        self.escaped = self.quoted = self.comment = self.blank = False
        self._special = {
            " ": self._blank, "\t": self._blank, ";": self._comment, "(": self._brace,
            ")": self._brace, "\n": self._newline, "\r": self._return, "\\": self._escape,
            '"': self._quote,
        }  # fmt: skip

    def take(self, char: str) -> None:
        if self.over:
            self.line, self.column = self.line + 1, 0
        self.over = char == "\n"
        self.column += not self.over
        if self.comment and not self.over:
            return
        special = self._special.get(char)
        if special is None:
            self.word, self.escaped, self.blank = self.word + char, False, False
        elif (self.escaped or self.quoted) and char in " \t;()":
            self.word, self.escaped = self.word + char, False
        else:
            special(char)

    def rest(self) -> Iterator[Token]:
        """What stands before the end."""
        if self.word:
            yield Token(Kind.WORD, self.word, self.line, self.column)
        if self.comment:
            yield Token(Kind.NEWLINE, "\n", self.line, self.column)
        elif self.depth:
            yield Token(Kind.WRONG, "unbalanced brace", self.line, self.column)

    def _tell(self, kind: Kind, text: str) -> None:
        self.found.append(Token(kind, text, self.line, self.column))

    def _end_word(self, before: str, kind: Kind = Kind.WORD) -> None:
        if self.word:
            self.found.append(Token(kind, self.word, self.line, self.column, before))
        self.word = ""

    def _blank(self, char: str) -> None:
        self._end_word(" ", Kind.OWNER if self.first else Kind.WORD)
        self.first = False
        if not self.blank:
            self.blank = True
            self._tell(Kind.BLANK, " ")

    def _comment(self, char: str) -> None:
        self.comment = True
        self._end_word(";")

    def _newline(self, char: str) -> None:
        self.escaped = self.comment = False
        if self.quoted:
            self.word += char
        elif self.depth == 0:
            self._end_word("\n")
            self.first = True
            self._tell(Kind.NEWLINE, "\n")

    def _return(self, char: str) -> None:
        self.escaped = False
        self.word += char if self.quoted else ""

    def _escape(self, char: str) -> None:
        self.word, self.escaped = self.word + char, not self.escaped

    def _quote(self, char: str) -> None:
        if self.escaped:
            self.word, self.escaped = self.word + char, False
            return
        self.blank, self.quoted = False, not self.quoted
        self._end_word('"')
        self._tell(Kind.QUOTE, '"')

    def _brace(self, char: str) -> None:
        self.depth += 1 if char == "(" else -1
        if self.depth < 0:
            self._tell(Kind.WRONG, "extra closing brace")
