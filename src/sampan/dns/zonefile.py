"""Zone files (RFC 1035 section 5): records, $ORIGIN, $TTL, $INCLUDE, $GENERATE, parentheses.

Errors carry file, line and column in the words of the library that CoreDNS uses, since people
search for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sampan.dns import codes, names
from sampan.dns.message import Record
from sampan.dns.rdata import absolute
from sampan.dns.zonedata import BadField, lenient_ttl, read_data, skip_rest
from sampan.dns.zonegenerate import BadPlace, Generated, steps
from sampan.dns.zonetokens import Kind, Token, Tokens

DEFAULT_TTL = 3600
MAX_INCLUDES = 7


class BadZone(ValueError):
    """What is wrong, with the place."""


@dataclass(slots=True)
class _State:
    """What lines leave behind for those that follow."""

    origin: str
    file: str
    owner: str = ""
    ttl: int = 0
    default: int | None = None
    """The TTL of records that name none: $TTL's, or the last one that was named."""
    directed: bool = False
    """The default is $TTL's, which no record's own TTL changes."""
    depth: int = 0
    generated: bool = False


@dataclass(slots=True)
class _Head:
    """What stands before a record's data."""

    kind: int = 0
    cls: int = codes.IN
    seen: set[str] = field(default_factory=set)


def read(content: str, origin: str, file: str) -> Iterator[Record]:
    """All records. Raises BadZone."""
    yield from _records(content, _State(names.fqdn(origin), file))


def record(line: str, origin: str = ".") -> Record:
    """One record on a line of its own, which may leave out the TTL. Raises BadZone."""
    for found in _records(line, _State(names.fqdn(origin), "", default=DEFAULT_TTL)):
        return found
    raise BadZone("no record")


def _records(content: Iterable[str], state: _State) -> Iterator[Record]:
    tokens = Tokens(content)
    try:
        while (token := _start(tokens)).kind is not Kind.END:
            directive = token.text.upper() if token.kind is Kind.OWNER else ""
            if directive == "$INCLUDE":
                yield from _included(tokens, state)
            elif directive == "$GENERATE":
                yield from _generated(tokens, state)
            elif directive in ("$TTL", "$ORIGIN"):
                _directed(directive, tokens, state)
            else:
                yield _record(token, tokens, state)
    except BadField as bad:
        raise _bad(state, bad.token, bad.text) from bad
    except BadPlace as bad:
        raise _bad(state, bad.token, bad.text) from bad


def _start(tokens: Tokens) -> Token:
    """The first token of a line that is more than white space."""
    token = tokens.next()
    while token.kind in (Kind.NEWLINE, Kind.BLANK):
        token = tokens.next()
    if token.kind is Kind.WRONG:
        raise BadField(token.text, token)
    if token.kind is Kind.QUOTE:
        raise BadField("syntax error at beginning", token)
    return token


# Directives


def _directed(name: str, tokens: Tokens, state: _State) -> None:
    value = _value(name, tokens)
    skip_rest(tokens)
    if name == "$ORIGIN":
        state.origin = _name(value, state.origin, "bad origin name")
        return
    ttl = lenient_ttl(value.text)
    if ttl is None:
        raise BadField("expecting $TTL value, not this...", value)
    state.default, state.directed = ttl, True


def _value(name: str, tokens: Tokens) -> Token:
    """What stands behind a directive."""
    blank = tokens.next()
    if blank.kind is not Kind.BLANK:
        raise BadField(f"no blank after {name}-directive", blank)
    value = tokens.next()
    if not _is_plain(value):
        raise BadField(f"expecting {name} value, not this...", value)
    return value


def _is_plain(token: Token) -> bool:
    """A word that is no type and no class."""
    return token.kind is Kind.WORD and _type(token) is None and _class(token) is None


def _included(tokens: Tokens, state: _State) -> Iterator[Record]:
    value, origin = _value("$INCLUDE", tokens), state.origin
    after = tokens.next()
    if after.kind is Kind.BLANK:
        given = tokens.next()
        if _is_plain(given):
            origin = _name(given, origin, "bad origin name")
    elif after.kind not in (Kind.NEWLINE, Kind.END):
        raise BadField("garbage after $INCLUDE", after)
    if state.depth >= MAX_INCLUDES:
        raise BadField("too deeply nested $INCLUDE", value)
    path = os.path.normpath(os.path.join(os.path.dirname(state.file), value.text))
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            content = file.read()
    except OSError as bad:
        shown = f" as `{path}'" if path != value.text else ""
        why = f"open {path}: {(bad.strerror or '').lower()}"
        raise BadField(f"failed to open `{value.text}'{shown}: {why}", value) from bad
    inner = _State(
        origin, path, default=state.default, directed=state.directed, depth=state.depth + 1
    )
    yield from _records(content, inner)


def _generated(tokens: Tokens, state: _State) -> Iterator[Record]:
    """`$GENERATE 1-9/2 host$ A 10.0.0.$`: the rest of the line, with each number put in."""
    blank = tokens.next()
    if blank.kind is not Kind.BLANK:
        raise BadField("no blank after $GENERATE-directive", blank)
    given = tokens.next()
    if state.generated:
        raise BadField("nested $GENERATE directive not allowed", given)
    if given.kind is not Kind.WORD:
        raise BadField("expecting $GENERATE value, not this...", given)
    numbers = steps(given)
    blank = tokens.next()
    if blank.kind is not Kind.BLANK:
        raise BadField("garbage after $GENERATE range", blank)
    line = ""
    while (token := tokens.next()).kind not in (Kind.NEWLINE, Kind.END):
        if token.kind is Kind.WRONG:
            raise BadField("bad data in $GENERATE directive", token)
        line += token.text
    inner = _State(state.origin, state.file, default=DEFAULT_TTL, depth=state.depth)
    inner.generated = True
    yield from _records(Generated(line, numbers, blank), inner)


# Records


def _record(token: Token, tokens: Tokens, state: _State) -> Record:
    if state.default is not None:
        state.ttl = state.default
    head = _Head()
    if token.kind is Kind.OWNER:
        state.owner = _owner(token, state.origin)
        blank = tokens.next()
        if blank.kind is not Kind.BLANK:
            raise BadField("no blank after owner", blank)
        token = tokens.next()
        _check_first(token, head, state)
    while not _taken(token, head, state):
        place = "class" if "class" in head.seen and "ttl" not in head.seen else "TTL"
        place = "RR type" if len(head.seen) > 1 else place
        blank = tokens.next()
        if blank.kind is not Kind.BLANK:
            raise BadField(f"no blank before {place}", blank)
        token = tokens.next()
    rdata = read_data(head.kind, tokens, state.origin)
    return Record(state.owner, head.kind, head.cls, state.ttl, rdata)


def _check_first(token: Token, head: _Head, state: _State) -> None:
    """A type right behind the owner needs a TTL from somewhere; behind a class it gets zero."""
    if token.kind is not Kind.WORD:
        raise BadField("expecting RR type, TTL or class, not this...", token)
    if state.default is None and _type(token) is not None and _class(token) is None:
        raise BadField("missing TTL with no previous value", token)


def _taken(token: Token, head: _Head, state: _State) -> bool:
    """Take a TTL, a class or the type; whether it was the type."""
    if token.kind is Kind.WRONG:
        raise BadField(token.text, token)
    word = token.kind is Kind.WORD
    cls, kind = (_class(token), _type(token)) if word else (None, None)
    if len(head.seen) == 2:
        if kind is None or cls is not None:
            raise BadField("unknown RR type", token)
    elif cls is not None and "class" not in head.seen:
        head.cls = cls
        head.seen.add("class")
        return False
    elif kind is None or cls is not None:
        _take_ttl(token, head, state, plain=word and cls is None)
        return False
    head.kind = kind
    return True


def _take_ttl(token: Token, head: _Head, state: _State, *, plain: bool) -> None:
    if "ttl" in head.seen:
        raise BadField("expecting RR type or class, not this...", token)
    if not plain:
        raise BadField("expecting RR type or TTL, not this...", token)
    ttl = lenient_ttl(token.text)
    if ttl is None:
        raise BadField("not a TTL", token)
    state.ttl = ttl
    if not state.directed:
        state.default = ttl
    head.seen.add("ttl")


def _class(token: Token) -> int | None:
    """A class is known by the blank behind it."""
    if token.stop != " ":
        return None
    word = token.text.upper()
    if word.startswith("CLASS"):
        return _numbered(token, word[5:], "unknown class")
    return codes.CLASSES.get(word)


def _type(token: Token) -> int | None:
    """A type has a blank or the end of the line behind it."""
    word = token.text.upper()
    if token.stop not in (" ", "\n"):
        return None
    if word.startswith("TYPE") and token.stop == " ":
        return _numbered(token, word[4:], "unknown RR type")
    return codes.TYPES.get(word)


def _numbered(token: Token, digits: str, wrong: str) -> int:
    if not (digits.isascii() and digits.isdigit() and int(digits) < 1 << 16):
        raise BadField(wrong, token._replace(text=wrong))
    return int(digits)


def _owner(token: Token, origin: str) -> str:
    """The name with its escapes as they are written elsewhere."""
    name = _name(token, origin, "bad owner name")
    plain = name.isascii() and name.isprintable() and "\\" not in name
    return name if plain else names.read(names.wire(name), 0)[0]


def _name(token: Token, origin: str, wrong: str) -> str:
    name = absolute(token.text, origin)
    try:
        names.wire(name)
    except names.BadName:
        raise BadField(wrong, token) from None
    return name


def _bad(state: _State, token: Token, text: str) -> BadZone:
    where = f"{state.file}: " if state.file else ""
    shown = token.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return BadZone(f'{where}dns: {text}: "{shown}" at line: {token.line}:{token.column}')
