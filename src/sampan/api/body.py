"""Bytes of a request into JSON values: JSON, YAML, and which keys were written twice.

Speed first: orjson reads, and duplicate keys are looked for only when counting the keys of what was
read shows that some went missing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from sampan.api.leaves import DecodeError

SHOWN_BYTES = 30


@dataclass(frozen=True, slots=True)
class Body:
    """A value, and the complaints about keys that stood there twice (the last one counts)."""

    value: Any
    duplicates: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """The duplicates as warnings word them."""

    def strict_text(self) -> str:
        """The duplicates as strict decoding words them."""
        return ", ".join(self.duplicates)


def read_json(data: bytes, *, duplicates: bool = True) -> Body:
    """The JSON value; DecodeError in Go's words if it is none."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError(syntax_error(data, error.pos)) from None
    if not duplicates or not _keys_went_missing(data, value):
        return Body(value)
    found = tuple(f'duplicate field "{path}"' for path in _duplicate_paths(data))
    return Body(value, found, found)


def read_yaml(data: bytes) -> Body:
    """YAML 1.1 as Kubernetes reads it: no timestamps, no sexagesimals, keys always strings."""
    from sampan.api import yaml11

    value, complaints = yaml11.load(data)
    if not complaints:
        return Body(value)
    text = "yaml: unmarshal errors:\n  " + "\n  ".join(complaints)
    return Body(value, (text,), tuple(complaints))


def shown(data: bytes) -> str:
    """The beginning of a body, as it stands in messages: what looks like no object as hex."""
    if not data:
        return "<empty>"
    begin = data[:SHOWN_BYTES]
    text = begin.decode(errors="replace") if begin[:1] == b"{" else begin.hex()
    return f"{text} ..." if len(data) > SHOWN_BYTES else text


def syntax_error(data: bytes, position: int) -> str:
    """Go's words for a place where JSON breaks off."""
    text = data.decode("latin-1")  # Go looks at single bytes
    position = min(_in_bytes(data, position), len(text))
    if not text[position:].strip():
        return "unexpected end of JSON input"
    if literal := _LITERALS.get(text[position]):
        return _broken_literal(text, position, literal)
    char = text[position]
    return f"invalid character {_go_quote(char)} {_expectation(text, position)}"


def _in_bytes(data: bytes, position: int) -> int:
    """A place that was counted in characters."""
    try:
        return len(data.decode()[:position].encode())
    except UnicodeDecodeError:
        return position


_LITERALS = {"n": "null", "t": "true", "f": "false"}


def _broken_literal(text: str, position: int, literal: str) -> str:
    """`nul`, `trve`: Go names the first letter that is not the expected one."""
    for at, wanted in enumerate(literal):
        if position + at >= len(text):
            return "unexpected end of JSON input"
        char = text[position + at]
        if char != wanted:
            told = f"in literal {literal} (expecting {_go_quote(wanted)})"
            return f"invalid character {_go_quote(char)} {told}"
    return f"invalid character {_go_quote(text[position])} {_expectation(text, position)}"


def _expectation(text: str, position: int) -> str:
    before = text[:position].rstrip()
    if not before:
        return "looking for beginning of value"
    last = before[-1]
    if last == "{":
        return "looking for beginning of object key string"
    if last == "," and _inside(before) == "{":
        return "looking for beginning of object key string"
    if last in ":[,":
        return "looking for beginning of value"
    return {
        "{": "after object key:value pair" if _after_value(before) else "after object key",
        "[": "after array element",
    }.get(_inside(before), "after top-level value")


def _inside(text: str) -> str:
    """The innermost bracket that is still open."""
    stack: list[str] = []
    for token in re.findall(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', text):
        if token in "[{":
            stack.append(token)
        elif token in "]}" and stack:
            stack.pop()
    return stack[-1] if stack else ""


def _after_value(before: str) -> bool:
    stripped = re.sub(r'(?:"(?:[^"\\]|\\.)*"|[\w.+-]+|[}\]])$', "", before).rstrip()
    return stripped.endswith((":", "}", "]")) or not before.endswith('"')


def _go_quote(char: str) -> str:
    if char in "'\\":
        return f"'\\{char}'"
    code = ord(char)
    if char.isprintable():
        return f"'{char}'"
    known = _ESCAPES.get(char)
    return f"'{known}'" if known else f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _keys_went_missing(data: bytes, value: Any) -> bool:
    """Whether writing the value again gives another number of keys.

    Text inside strings counts the same on both sides; a space between key and colon, or escapes
    written otherwise, only cost the slow look.
    """
    return data.count(b'":') != orjson.dumps(value).count(b'":')


class _Pairs(list[tuple[str, Any]]):
    """A JSON object that keeps every pair."""


def _duplicate_paths(data: bytes) -> list[str]:
    found: list[str] = []
    _collect(json.loads(data, object_pairs_hook=_Pairs), "", found)
    return found


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen and where not in found:
                found.append(where)
            seen.add(key)
            _collect(item, where, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", found)
