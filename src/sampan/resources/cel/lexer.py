"""Text to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sampan.resources.cel.errors import SyntaxIssue
from sampan.resources.cel.values import Uint


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is ident, value, op or end; `text` as written, `value` of a literal."""

    kind: str
    text: str
    offset: int
    value: Any = None


_STRING = (
    r"""(?:"{3}(?:[^\\]|\\.)*?"{3}|'{3}(?:[^\\]|\\.)*?'{3}"""
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
)
_RAW = r"""(?:"{3}.*?"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
_TOKENS = re.compile(
    rf"""
    (?P<space>\s+|//[^\n]*)
  | (?P<raw>(?:[bB]?[rR]|[rR][bB]){_RAW})
  | (?P<string>[bB]?{_STRING})
  | (?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<int>0[xX][0-9a-fA-F]+[uU]?|[0-9]+[uU]?)
  | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_WORDS = {"true": True, "false": False, "null": None}


def tokens(source: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKENS.match(source, at)
        if match is None:
            raise SyntaxIssue(at, f"token recognition error at: '{source[at]}'")
        at = match.end()
        if match.lastgroup != "space":
            found.append(_token(str(match.lastgroup), match.group(), match.start()))
    found.append(Token("end", "<EOF>", len(source)))
    return found


def _token(kind: str, text: str, offset: int) -> Token:
    if kind in ("string", "raw"):
        return Token("value", text, offset, _string(text, raw=kind == "raw"))
    if kind == "float":
        return Token("value", text, offset, float(text))
    if kind == "int":
        return Token("value", text, offset, _integer(text))
    if kind == "quoted":
        return Token("ident", text[1:-1], offset)
    if kind == "ident" and text in _WORDS:
        return Token("value", text, offset, _WORDS[text])
    return Token(kind, text, offset)


def _integer(text: str) -> int:
    bare = text.rstrip("uU")
    number = int(bare, 16) if bare[:2].lower() == "0x" else int(bare)
    return Uint(number) if bare != text else number


def _string(text: str, *, raw: bool) -> str | bytes:
    start = min(text.find(quote) for quote in "\"'" if quote in text)
    is_bytes = "b" in text[:start].lower()
    width = 3 if text[start : start + 3] in ('"""', "'''") and len(text) - start >= 6 else 1
    body = text[start + width : -width]
    if raw:
        return body.encode() if is_bytes else body
    if is_bytes:
        return _byte_escapes(body)
    return _ESCAPE.sub(_character, body)


def _character(match: re.Match[str]) -> str:
    *codes, octal, plain = match.groups()
    for code in codes:
        if code is not None:
            return chr(int(code, 16))
    if octal is not None:
        return chr(int(octal, 8))
    return _ESCAPES.get(plain, plain)


def _byte_escapes(body: str) -> bytes:
    """`\\xff` and octal are bytes here, not characters."""
    out, at = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        out += body[at : match.start()].encode()
        hexadecimal, _, _, octal, _ = match.groups()
        if hexadecimal is not None:
            out.append(int(hexadecimal, 16))
        elif octal is not None:
            out.append(int(octal, 8))
        else:
            out += _character(match).encode()
        at = match.end()
    return bytes(out + body[at:].encode())
