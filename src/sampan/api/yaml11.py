"""YAML 1.1 in the dialect of Kubernetes: what becomes a JSON value, and duplicate keys by line.

Against PyYAML's own reading: dates stay text, `1:30` is no number, `1e3` is one, `y` and `n` are
truth values, keys become strings, and a key that stands twice is reported rather than overlooked.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from sampan.api.leaves import DecodeError

_TRUE = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"}
_FALSE = {"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"}
_NULL = {"", "~", "null", "Null", "NULL"}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
            ".NaN", ".NAN"}  # fmt: skip
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|0[0-7_]*|[1-9][0-9_]*)")
_STRING = "tag:yaml.org,2002:str"
_BINARY = "tag:yaml.org,2002:binary"
_MERGE = "<<"
NODES_MAX = 1_000_000
"""Aliases may multiply a small document; beyond this many values it is refused."""


def load(data: bytes) -> tuple[Any, list[str]]:
    """(value of the first document, complaints about duplicate keys); DecodeError if unreadable."""
    try:
        loader = yaml.CSafeLoader(data)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DecodeError(_text(error)) from None
    reader = _Reader()
    return (None if node is None else reader.value(node)), reader.complaints


def documents(data: bytes) -> list[Any]:
    """Every document of a stream, duplicates overlooked; for manifests in files."""
    try:
        nodes = list(yaml.compose_all(data, yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DecodeError(_text(error)) from None
    return [_Reader().value(node) for node in nodes]


def dump(value: Any) -> str:
    """A JSON value as upstream writes YAML: text that would be read as something else stands in
    double quotes, text of several lines in a block.
    """
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True)
    return text


class _Dumper(yaml.CSafeDumper):
    """Chooses the style of text; the rest is PyYAML's."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if _plain(text) else '"'
    return dumper.represent_scalar(_STRING, text, style=style)


_Dumper.add_representer(str, _text_node)

_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def _plain(text: str) -> bool:
    """Whether it is text without quotes, too."""
    read = scalar(text)
    other = text in _SPECIAL or text == _MERGE or _TIME.fullmatch(text) or _BASE_60.fullmatch(text)
    return isinstance(read, str) and not other


def scalar(text: str) -> Any:
    """What a plain, unquoted scalar means."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] in "+-.0123456789" and text not in _SPECIAL:
        return _number(text)
    return text


def _number(text: str) -> Any:
    if _INT.fullmatch(text):
        plain = text.replace("_", "")
        if re.fullmatch(r"[-+]?0[0-7]+", plain):
            return int(plain, 8)
        return int(plain, 0)
    plain = text.replace("_", "")
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return text


class _Reader:
    """Turns nodes into values; notes duplicate keys, and stops when aliases multiply."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.left = NODES_MAX

    def value(self, node: yaml.Node) -> Any:
        self.left -= 1
        if self.left < 0:
            raise DecodeError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _scalar_node(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        return self._mapping(node)

    def _mapping(self, node: yaml.Node) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value == _MERGE:
                merged = self._merged(value_node) | merged
                continue
            line, key = key_node.start_mark.line + 1, self._key(key_node)
            if key in out:
                self.complaints.append(f'line {line}: key "{key}" already set in map')
            out[key] = self.value(value_node)
        return merged | out if merged else out

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        value = self.value(node)
        out: dict[str, Any] = {}
        for part in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(part, dict):
                raise DecodeError("yaml: map merge requires map or sequence of maps as the value")
            out |= part
        return out

    def _key(self, node: yaml.Node) -> str:
        value = self.value(node)
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None:
            return "null"
        if isinstance(value, (dict, list)):
            raise DecodeError(f"yaml: line {node.start_mark.line + 1}: a key must be a scalar")
        return str(value)


def _scalar_node(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style or node.tag == _BINARY:
        return text
    explicit = node.tag == _STRING and not _resolves_to_string(text)
    return text if explicit else scalar(text)


def _resolves_to_string(text: str) -> bool:
    """Whether PyYAML itself takes a plain scalar for a string; else the tag was written out."""
    tag = yaml.CSafeLoader.yaml_implicit_resolvers
    resolvers = tag.get(text[0] if text else "", []) + tag.get(None, [])
    return not any(pattern.match(text) for _, pattern in resolvers)


def _text(error: Exception) -> str:
    """As upstream's parser says it: lines count from one only where a scanner complains, and the
    first is not named.
    """
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    line = mark.line if mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"
