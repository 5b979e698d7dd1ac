"""What $GENERATE makes of a line: one for each number of a range, the number where a `$` stands.

`$` is the number, `${offset,width,base}` the number as it is wished, `$$` and `\\$` a dollar.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.dns.zonetokens import Token

MAX_LINES = 65535
MAX_NUMBER = (1 << 31) - 1


class BadPlace(ValueError):
    """What is wrong, and where."""

    def __init__(self, text: str, token: Token) -> None:
        super().__init__(text)
        self.text = text
        self.token = token


def steps(token: Token) -> range:
    """The numbers of `1-9` or `1-9/2`. Raises BadPlace."""
    span, slash, by = token.text.partition("/")
    step = _number(by) if slash else 1
    if step is None or step <= 0:
        raise _bad("step", token)
    first, dash, last = span.partition("-")
    if not dash:
        raise _bad("start-stop", token)
    start, stop = _number(first), _number(last)
    if start is None:
        raise _bad("start", token)
    if stop is None:
        raise _bad("stop", token)
    if stop < start or start < 0 or (stop - start) // step > MAX_LINES:
        raise _bad("range", token)
    return range(start, stop + 1, step)


def _bad(what: str, token: Token) -> BadPlace:
    return BadPlace(f"bad {what} in $GENERATE range", token)


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else None


class Generated:
    """The characters of all lines."""

    def __init__(self, line: str, numbers: range, before: Token) -> None:
        self.line = line
        self.numbers = numbers
        self.before = before

    def __iter__(self) -> Iterator[str]:
        for number in self.numbers:
            yield from self._filled(number)
            yield "\n"

    def _filled(self, number: int) -> Iterator[str]:
        line, pos = self.line, 0
        while pos < len(line):
            char, following = line[pos], line[pos + 1 : pos + 2]
            if char == "\\":
                if following in ("\\", "$"):
                    yield following
                pos += 2
            elif char != "$":
                yield char
                pos += 1
            elif following == "$":
                yield "$"
                pos += 2
            elif following == "{":
                text, pos = self._shaped(number, pos)
                yield from text
            else:
                yield from str(number)
                pos += 1

    def _shaped(self, number: int, pos: int) -> tuple[str, int]:
        """The number as the braces at a place want it, and where they end."""
        end = self.line.find("}", pos)
        if end < 0:
            raise self._wrong("modifier", pos, len(self.line))
        parts = self.line[pos + 2 : end].split(",")
        if len(parts) > 3:
            raise self._wrong("modifier", pos, end + 1)
        offset, width, base = (*parts, "0", "d")[:3] if len(parts) < 2 else (*parts, "d")[:3]
        if base not in ("d", "o", "x", "X"):
            raise self._wrong("base", pos, end + 1)
        by = _number(offset)
        if by is None:
            raise self._wrong("offset", pos, end + 1)
        if not (width.isascii() and width.isdigit() and int(width) < 256):
            raise self._wrong("width", pos, end + 1)
        first, last = self.numbers[0] + by, self.numbers[-1] + by
        if first < 0 or last > MAX_NUMBER:
            raise self._wrong("offset", pos, end + 1)
        return format(number + by, f"0{int(width) or ''}{base}" if int(width) else base), end + 1

    def _wrong(self, what: str, pos: int, end: int) -> BadPlace:
        token = self.before._replace(text=self.line[pos:end], column=self.before.column + pos + 1)
        return BadPlace(f"bad {what} in $GENERATE", token)
