"""Zone files (RFC 1035 section 5): records, $ORIGIN, $TTL, $INCLUDE, $GENERATE, parentheses.

Errors carry file, line and column in the words of the library that CoreDNS uses, since people
search for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sampan.dns import codes, names
from sampan.dns.message import Record
from sampan.dns.rdata import BadData, absolute, from_words, seconds

DEFAULT_TTL = 3600
MAX_INCLUDES = 8


class BadZone(ValueError):
    """What is wrong, with the place."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    line: int
    column: int
    starts_line: bool = False
    """No white space before it: an owner name."""


@dataclass(frozen=True, slots=True)
class _State:
    origin: str
    ttl: int | None
    owner: str
    file: str
    depth: int = 0


def read(content: str, origin: str, file: str) -> Iterator[Record]:
    """All records. Raises BadZone."""
    state = _State(names.fqdn(origin), None, names.fqdn(origin), file)
    yield from _records(content, state)


def record(line: str, origin: str = ".") -> Record:
    """One record on a line of its own, which may leave out the TTL. Raises BadZone."""
    for found in _records(line, _State(names.fqdn(origin), DEFAULT_TTL, names.fqdn(origin), "")):
        return found
    raise BadZone("no record")


def _records(content: str, state: _State) -> Iterator[Record]:
    last_ttl: int | None = None
    for words in _lines(content, state.file):
        first = words[0].text.upper()
        if first.startswith("$"):
            if first == "$INCLUDE":
                yield from _included(words, state)
            elif first == "$GENERATE":
                yield from _generated(words, state)
            else:
                state = _directed(first, words, state)
            continue
        found = _record(words, state, last_ttl)
        state = replace(state, owner=found.name)
        if found.ttl or last_ttl is not None:
            last_ttl = found.ttl
        yield found


def _directed(first: str, words: Sequence[Word], state: _State) -> _State:
    if len(words) != 2:
        raise _bad(state, words[-1], f"expecting {first} value, not this...")
    if first == "$ORIGIN":
        return replace(state, origin=absolute(words[1].text, state.origin))
    if first == "$TTL":
        try:
            return replace(state, ttl=seconds(words[1].text))
        except ValueError:
            raise _bad(state, words[1], "expecting $TTL value, not this...") from None
    raise _bad(state, words[0], f"unknown directive {first}")


def _included(words: Sequence[Word], state: _State) -> Iterator[Record]:
    if state.depth >= MAX_INCLUDES:
        raise _bad(state, words[0], "too deeply nested $INCLUDE")
    if len(words) < 2:
        raise _bad(state, words[0], "expecting $INCLUDE value, not this...")
    path = os.path.join(os.path.dirname(state.file), words[1].text)
    origin = absolute(words[2].text, state.origin) if len(words) > 2 else state.origin
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read()
    except (OSError, ValueError) as bad:
        why = bad.strerror if isinstance(bad, OSError) else str(bad)
        text = f"failed to open `{words[1].text}': {why}"
        raise _bad(state, words[1], text) from bad
    yield from _records(content, _State(origin, state.ttl, origin, path, state.depth + 1))


_STEPS = re.compile(r"(\d+)-(\d+)(?:/(\d+))?$")
_PLACE = re.compile(r"\$(?:\{(-?\d+)(?:,(\d+)(?:,([doxX]))?)?\})?")


def _generated(words: Sequence[Word], state: _State) -> Iterator[Record]:
    """`$GENERATE 1-9/2 host$ A 10.0.0.$`."""
    steps = _STEPS.match(words[1].text) if len(words) > 3 else None
    if steps is None:
        raise _bad(state, words[0], "bad range in $GENERATE range")
    start, stop, step = int(steps[1]), int(steps[2]), int(steps[3] or 1)
    if stop < start or step < 1 or stop - start > 65535:
        raise _bad(state, words[1], "bad range in $GENERATE range")
    line = " ".join(word.text for word in words[2:])
    for number in range(start, stop + 1, step):
        yield from _records(_filled(line, number), replace(state, depth=state.depth + 1))


def _filled(line: str, number: int) -> str:
    def place(found: re.Match[str]) -> str:
        value = number + int(found[1] or 0)
        return format(value, f"0{found[2] or 0}{found[3] or 'd'}")

    return _PLACE.sub(place, line)


def _record(words: Sequence[Word], state: _State, last_ttl: int | None) -> Record:
    rest = list(words)
    owner = state.owner
    if rest[0].starts_line:
        owner = _checked(absolute(rest.pop(0).text, state.origin), words[0], state)
    ttl, cls, kind, classed = None, codes.IN, None, False
    while rest and kind is None:
        word = rest.pop(0)
        if ttl is None and word.text[:1].isdigit():
            ttl = _ttl(word, state)
        elif word.text.upper() in codes.CLASSES and word.text.upper() != "ANY":
            cls, classed = codes.CLASSES[word.text.upper()], True
        else:
            kind = codes.type_number(word.text)
            if kind is None:
                raise _bad(state, word, f'expecting RR type or TTL, not this...: "{word.text}"')
    if kind is None:
        raise _bad(state, words[-1], "no RR type")
    chosen = next((t for t in (ttl, state.ttl, last_ttl) if t is not None), None)
    if chosen is None and classed:
        chosen = 0  # upstream's reading: only a type right behind the owner asks for a TTL
    if chosen is None:
        place = words[len(words) - len(rest) - 1]
        # A blank behind the word counts, the end of the line does not.
        place = replace(place, column=place.column + bool(rest))
        raise _bad(state, place, "missing TTL with no previous value", at_end=True)
    return Record(owner, kind, cls, chosen, _data(kind, rest, words[-1], state))


def _data(kind: int, rest: Sequence[Word], last: Word, state: _State) -> bytes:
    try:
        return from_words(kind, [word.text for word in rest], state.origin)
    except BadData as bad:
        place = rest[0] if rest else last
        place = replace(place, column=place.column + (len(rest) > 1))  # the blank counts, too
        raise _bad(state, place, str(bad).partition(': "')[0], at_end=True) from bad


def _ttl(word: Word, state: _State) -> int:
    try:
        return seconds(word.text)
    except ValueError:
        raise _bad(state, word, "expecting RR type or TTL, not this...") from None


def _checked(name: str, word: Word, state: _State) -> str:
    """The name with its escapes as they are written elsewhere."""
    try:
        wire = names.wire(name)
        return names.read(wire, 0)[0] if "\\" in name else name
    except names.BadName:
        raise _bad(state, word, "bad owner name") from None


def _bad(state: _State, word: Word, text: str, *, at_end: bool = False) -> BadZone:
    where = f"{state.file}: " if state.file else ""
    column = word.column + len(word.text) if at_end else word.column
    return BadZone(f'{where}dns: {text}: "{word.text}" at line: {word.line}:{column}')


def _lines(content: str, file: str) -> Iterator[list[Word]]:
    """Logical lines: parentheses join them, semicolons start comments."""
    words: list[Word] = []
    depth = 0
    for number, line in enumerate(content.splitlines(), 1):
        for word in _line_words(line, number, fresh=not words):
            if word.text in "()" and len(word.text) == 1:
                depth += 1 if word.text == "(" else -1
            else:
                words.append(word)
            if depth < 0:
                raise BadZone(f"{file}: dns: extra closing brace at line: {number}")
        if depth == 0 and words:
            yield words
            words = []
    if depth:
        raise BadZone(f"{file}: dns: unbalanced brace")
    if words:
        yield words


def _line_words(line: str, number: int, *, fresh: bool) -> Iterator[Word]:
    pos = 0
    while pos < len(line):
        char = line[pos]
        if char == ";":
            return
        if char.isspace():
            pos += 1
            continue
        if char in "()":
            yield Word(char, number, pos)
            pos += 1
            continue
        end = _word_end(line, pos)
        yield Word(line[pos:end], number, pos, starts_line=fresh and pos == 0)
        pos = end


def _word_end(line: str, pos: int) -> int:
    if line[pos] == '"':
        pos += 1
        while pos < len(line) and line[pos] != '"':
            pos += 2 if line[pos] == "\\" else 1
        return min(pos + 1, len(line))
    while pos < len(line) and not line[pos].isspace() and line[pos] not in ';()"':
        pos += 2 if line[pos] == "\\" else 1
    return min(pos, len(line))
