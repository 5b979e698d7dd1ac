"""The data of a record in a zone file: its fields one by one, so that an error names the field.

The types that zone files mostly hold have their fields in a table; of others only the number of
words is known, and what their reader says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from sampan.dns import codes, names
from sampan.dns.rdata import BadData, absolute, from_words
from sampan.dns.zonetokens import Kind, Token, Tokens

CHUNK, CAA = 255, 257


class BadField(ValueError):
    """What is wrong, and the token that it is wrong with."""

    def __init__(self, text: str, token: Token) -> None:
        super().__init__(text)
        self.text = text
        self.token = token


def lenient_ttl(text: str) -> int | None:
    """`3600`, or BIND's `1h30m`: a unit without a number is nothing, a number alone seconds."""
    total = digits = 0
    for char in text:
        if char in "0123456789":
            digits = digits * 10 + int(char)
        elif char.lower() in _UNITS:
            total, digits = total + digits * _UNITS[char.lower()], 0
        else:
            return None
    total += digits
    return total if total < 1 << 32 else None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Check = Callable[[str, str], bool]


def _unsigned(bits: int) -> Check:
    def check(word: str, origin: str) -> bool:
        return word.isascii() and word.isdigit() and int(word) < 1 << bits

    return check


def _is_name(word: str, origin: str) -> bool:
    if not word or word == "\n":
        return False
    try:
        names.wire(absolute(word, origin))
    except names.BadName:
        return False
    return True


def _is_address(version: int) -> Check:
    def check(word: str, origin: str) -> bool:
        try:
            found = ipaddress.ip_address(word)
        except ValueError:
            return False
        return found.version == version and "%" not in word

    return check


def _is_time(word: str, origin: str) -> bool:
    return lenient_ttl(word) is not None


def _is_algorithm(word: str, origin: str) -> bool:
    return _U8(word, origin) or word.upper() in ALGORITHMS


_U8, _U16, _U32 = _unsigned(8), _unsigned(16), _unsigned(32)
ALGORITHMS = {
    "RSAMD5": 1, "DH": 2, "DSA": 3, "RSASHA1": 5, "DSA-NSEC3-SHA1": 6, "RSASHA1-NSEC3-SHA1": 7,
    "RSASHA256": 8, "RSASHA512": 10, "ECC-GOST": 12, "ECDSAP256SHA256": 13,
    "ECDSAP384SHA384": 14, "ED25519": 15, "ED448": 16, "INDIRECT": 252, "PRIVATEDNS": 253,
    "PRIVATEOID": 254,
}  # fmt: skip
_SOA = "zone parameter"
FIELDS: dict[int, tuple[tuple[str, Check], ...]] = {
    codes.A: (("A", _is_address(4)),), codes.AAAA: (("AAAA", _is_address(6)),),
    codes.NS: (("Ns", _is_name),), codes.CNAME: (("Target", _is_name),),
    codes.DNAME: (("Target", _is_name),), codes.PTR: (("Ptr", _is_name),),
    7: (("Mb", _is_name),), 8: (("Mg", _is_name),), 9: (("Mr", _is_name),),
    codes.MX: (("Pref", _U16), ("Mx", _is_name)), 21: (("Preference", _U16), ("Host", _is_name)),
    36: (("Pref", _U16), ("Exchanger", _is_name)),
    codes.SRV: (("Priority", _U16), ("Weight", _U16), ("Port", _U16), ("Target", _is_name)),
    codes.SOA: (("Ns", _is_name), ("Mbox", _is_name), (_SOA, _U32), *((_SOA, _is_time),) * 4),
    17: (("Mbox", _is_name), ("Txt", _is_name)), 18: (("Subtype", _U16), ("Hostname", _is_name)),
}  # fmt: skip
"""Fields that a type has, and no more."""
HEADS: dict[int, tuple[tuple[str, Check], ...]] = {
    codes.DS: (("KeyTag", _U16), ("Algorithm", _is_algorithm), ("DigestType", _U8)),
    codes.DNSKEY: (("Flags", _U16), ("Protocol", _U8), ("Algorithm", _U8)),
    52: (("Usage", _U8), ("Selector", _U8), ("MatchingType", _U8)),
    44: (("Algorithm", _U8), ("Type", _U8)),
}
"""Fields before a rest that ends with the line."""
TEXTS = {codes.TXT: "Txt", 99: "Txt", codes.HINFO: "Fields"}
"""Types of nothing but character strings."""


def read_data(kind: int, tokens: Tokens, origin: str) -> bytes:
    """What stands behind the type, to the end of the line. Raises BadField."""
    before = tokens.next()
    if tokens.peek().kind is Kind.END:
        return b""  # at the very end a type may stand alone, as in an update
    if before.kind is Kind.NEWLINE:
        raise BadField("unexpected newline", before)
    if tokens.peek().text == "\\#":
        return _generic(kind, tokens, before)
    words = _words(kind, tokens, origin, before)
    if kind in (*TEXTS, CAA) and not words:
        return b""
    try:
        return from_words(kind, words, origin)
    except BadData as bad:
        raise BadField(str(bad).partition(': "')[0], before) from bad


def _words(kind: int, tokens: Tokens, origin: str, before: Token) -> list[str]:
    if kind in TEXTS:
        words = _strings(tokens, f"bad {codes.type_name(kind)} {TEXTS[kind]}", before)
        return _two(words) if kind == codes.HINFO else words
    if kind == CAA:
        return _authority(tokens, origin, before)
    if kind in FIELDS:
        words = _fields(kind, FIELDS[kind], tokens, origin, before)
        skip_rest(tokens)
        return words
    if kind not in codes.TYPE_NAMES:
        raise BadField("bad RFC3597 Rdata", tokens.peek())
    return _fields(kind, HEADS.get(kind, ()), tokens, origin, before) + _rest(tokens)


def _fields(
    kind: int, fields: tuple[tuple[str, Check], ...], tokens: Tokens, origin: str, before: Token
) -> list[str]:
    found: list[str] = []
    for number, (name, check) in enumerate(fields):
        if number:
            tokens.next()  # the blank
        token = tokens.next()
        if token.kind is Kind.WRONG or not check(token.text, origin):
            where = before if token.kind is Kind.END else token
            raise BadField(f"bad {codes.type_name(kind)} {name}", where)
        found.append(str(lenient_ttl(token.text)) if check is _is_time else token.text)
    if fields and kind in HEADS:
        tokens.next()
    return found


def skip_rest(tokens: Tokens) -> None:
    """Nothing but the end of the line may follow. Raises BadField."""
    token = tokens.next()
    if token.kind is Kind.BLANK:
        token = tokens.next()
    if token.kind not in (Kind.NEWLINE, Kind.END):
        raise BadField("garbage after rdata", token)


def _rest(tokens: Tokens) -> list[str]:
    """The words to the end of the line; quotes stay, and stick to what is before them."""
    words, quote, glued = list[str](), False, False
    while (token := tokens.next()).kind not in (Kind.NEWLINE, Kind.END):
        if token.kind is Kind.WRONG:
            raise BadField(token.text, token)
        if token.kind is Kind.BLANK:
            glued = False
            continue
        if glued or quote:
            words[-1] += token.text
        else:
            words.append(token.text)
        if token.kind is Kind.QUOTE:
            quote = not quote
        glued = True if token.kind is Kind.WORD else quote
    return words


def _strings(tokens: Tokens, wrong: str, before: Token) -> list[str]:
    """Character strings, quoted or not, in pieces of no more than 255 bytes."""
    words, quote, empty = list[str](), False, False
    while (token := tokens.next()).kind not in (Kind.NEWLINE, Kind.END):
        if token.kind is Kind.QUOTE:
            if quote and empty:
                words.append('""')
            quote, empty = not quote, True
        elif token.kind is Kind.WORD:
            empty = False
            words += (f'"{piece}"' for piece in _pieces(token.text))
        elif token.kind is not Kind.BLANK:
            raise BadField(wrong, token)
    if quote:
        raise BadField(wrong, before if token.kind is Kind.END else token)
    return words


def _two(words: list[str]) -> list[str]:
    """Machine and system; whatever is more belongs to the system."""
    bare = [word[1:-1] for word in words] or [""]
    if len(bare) == 1:
        bare = bare[0].split() if len(bare[0].split()) > 1 else [*bare, ""]
    return [f'"{bare[0]}"', f'"{" ".join(bare[1:])}"']


def _pieces(text: str) -> list[str]:
    """The text cut where an escape does not end in the middle."""
    found, piece, size, pos = list[str](), "", 0, 0
    while pos < len(text):
        step = 1
        if text[pos] == "\\":
            step = 4 if text[pos + 1 : pos + 4].isdigit() and len(text) > pos + 3 else 2
        one = text[pos : pos + step]
        weight = 1 if step > 1 else len(one.encode("utf-8", "surrogateescape"))
        if size + weight > CHUNK:
            found.append(piece)
            piece, size = "", 0
        piece, size, pos = piece + one, size + weight, pos + step
    return [*found, piece]


def _authority(tokens: Tokens, origin: str, before: Token) -> list[str]:
    """CAA: a flag, a tag and one string."""
    flag = tokens.next()
    if not _U8(flag.text, origin):
        raise BadField("bad CAA Flag", flag)
    tokens.next()
    tag = tokens.next()
    if tag.kind is not Kind.WORD:
        raise BadField("bad CAA Tag", tag)
    tokens.next()
    values = _strings(tokens, "bad CAA Value", before)
    if len(values) != 1:
        raise BadField("bad CAA Value", tag)
    return [flag.text, tag.text, values[0]]


def _generic(kind: int, tokens: Tokens, before: Token) -> bytes:
    """`\\# 4 c0000201` (RFC 3597)."""
    tokens.next()
    tokens.next()
    size = tokens.next()
    if not _U16(size.text, ""):
        raise BadField("bad RFC3597 Rdata ", size)
    digits = "".join(_rest(tokens))
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise BadField("bad RFC3597 Rdata", size) from None
    if len(data) != int(size.text):
        raise BadField("bad RFC3597 Rdata", size)
    return data
