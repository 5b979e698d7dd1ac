"""A cursor over one directive's tokens: what a plugin's `setup` reads its arguments with.

    zones = args.rest()                     the arguments on this line
    while args.in_block():                  the lines between the braces
        match args.word: ...

A directive may stand in a block several times; `next_line` moves on to each of its places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sampan.dns.corefile import CorefileError, Token


class Directive:
    """Starts before the first token; `args.next()` stands on the directive's name."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = -1
        self.depth = 0

    @property
    def word(self) -> str:
        return self.tokens[self.at].text if 0 <= self.at < len(self.tokens) else ""

    @property
    def line(self) -> int:
        return self.tokens[self.at].line if 0 <= self.at < len(self.tokens) else 0

    @property
    def file(self) -> str:
        return self.tokens[max(0, min(self.at, len(self.tokens) - 1))].file

    def next(self) -> bool:
        if self.at < len(self.tokens) - 1:
            self.at += 1
            return True
        return False

    def next_arg(self) -> bool:
        """Move on if another word stands on this line."""
        if self.at < 0:
            return self.next()
        if self.at + 1 >= len(self.tokens):
            return False
        here, after = self.tokens[self.at], self.tokens[self.at + 1]
        if here.file != after.file or here.last_line < after.line:
            return False
        self.at += 1
        return True

    def in_block(self) -> bool:
        """Step into the braces that open on this line, or on to the next line inside them."""
        if self.depth:
            if not self.next() or self.word == "}":
                self.depth -= 1
                return False
            return True
        if not self.next_arg():
            return False
        if self.word != "{":
            self.at -= 1
            return False
        self.next()
        if self.word == "}":
            return False
        self.depth += 1
        return True

    def rest(self) -> list[str]:
        """The remaining words of this line, up to an opening brace."""
        words = []
        while self.next_arg():
            if self.word == "{":
                self.at -= 1
                break
            words.append(self.word)
        return words

    def places(self) -> Iterator[list[str]]:
        """Every place where the directive stands, with the arguments on its line."""
        while self.next():
            yield self.rest()

    def properties(self) -> Iterator[str]:
        """The first words of the lines inside the braces; the caller reads the rest."""
        while self.in_block():
            yield self.word

    def one(self) -> str:
        """The one argument of this line. Raises CorefileError for none or more."""
        words = self.rest()
        if len(words) != 1:
            raise self.wrong_count()
        return words[0]

    def taken(self) -> str:
        """The next word of this line. What follows is read as a property. Raises CorefileError."""
        if not self.next_arg():
            raise self.wrong_count()
        return self.word

    def some(self) -> list[str]:
        """The arguments of this line, at least one."""
        words = self.rest()
        if not words:
            raise self.wrong_count()
        return words

    def nothing(self) -> None:
        """No argument and no braces may follow. Raises CorefileError."""
        if self.next_arg():
            raise self.wrong_count()

    def none(self) -> None:
        if self.rest():
            raise self.wrong_count()

    def error(self, text: str) -> CorefileError:
        return CorefileError(f"{self.file}:{self.line} - Error during parsing: {text}")

    def wrong_count(self) -> CorefileError:
        if self.word == "{":
            return self.error("Unexpected token '{', expecting argument")
        return self.error(f"Wrong argument count or unexpected line ending after '{self.word}'")

    def unknown(self) -> CorefileError:
        return self.error(f"unknown property '{self.word}'")
