"""What keeps an applied configuration from being of its type, in the words of structured merge.

Unlike decoding, which drops what it does not know, apply wants every field declared, every scalar
of its kind, and every item of a keyed list named once.
"""

from __future__ import annotations

from typing import Any

from sampan.api.fieldset import key_element
from sampan.api.fieldset import text as path_text
from sampan.api.schema import Type

NUMBERS = frozenset(("int32", "int64", "double"))
TEXTS = frozenset(("string", "bytes"))


def complaint(config: Any, kind: Type) -> str:
    """Everything that is wrong, as one message; empty when nothing is."""
    found: list[str] = []
    _value(config, kind, "", found)
    if len(found) < 2:
        return "".join(found)
    return "\n".join(["errors:", *(f"  {line}" for line in found)])


def _value(value: Any, kind: Type, path: str, found: list[str]) -> None:
    if value is None:
        return
    if kind.kind == "struct":
        _struct(value, kind, path, found)
    elif kind.kind == "map":
        if isinstance(value, dict):
            for key in sorted(value):
                _value(value[key], kind.of, f"{path}.{key}", found)
        else:
            _say(found, path, f"expected map, got &{{{go_text(value)}}}")
    elif kind.kind == "list":
        _list(value, kind, path, found)
    else:
        _scalar(value, kind, path, found)


def _struct(value: Any, kind: Type, path: str, found: list[str]) -> None:
    if not isinstance(value, dict):
        _say(found, path, f"expected map, got &{{{go_text(value)}}}")
        return
    shape = kind.struct
    for key in sorted(value):
        known = shape.fields.get(key)
        if known is not None:
            _value(value[key], known.type, f"{path}.{key}", found)
        elif not shape.preserve:
            _say(found, f"{path}.{key}", "field not declared in schema")
            return  # upstream's walk ends at the first


def _list(value: Any, kind: Type, path: str, found: list[str]) -> None:
    if not isinstance(value, list):
        _say(found, path, f"expected list, got &{{{go_text(value)}}}")
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if kind.list_type != "atomic":
            element, problem = _element(item, kind)
            if problem:
                _say(found, path, f"element {index}: {problem}")
                return
            where = path + path_text((element,))
            if element in seen:
                _say(found, path, f"duplicate entries for key {path_text((element,))}")
            seen.add(element)
        _value(item, kind.of, where, found)


def _element(item: Any, kind: Type) -> tuple[str, str]:
    """What an item is called, or why it cannot be."""
    problem = _SET_MAY_NOT if kind.list_type == "set" else _MAP_MAY_NOT
    text = problem.get(type(item).__name__, "")
    if text or kind.list_type == "set":
        return ("", text) if text else (key_element(item, kind), "")
    if not isinstance(item, dict):
        return "", "associative list with keys may not have non-map elements"
    try:
        return key_element(item, kind), ""
    except KeyError as error:
        keys = " ".join(f'"{key}"' for key in error.args[0])
        return "", (
            f"associative list with keys has an element that omits all key fields [{keys}] "
            "(and doesn't have default values for any key fields)"
        )


_SET_MAY_NOT = {
    "NoneType": "associative list without keys has an element that's an explicit null",
    "dict": "associative list without keys has an element that's a map type",
    "list": "not supported: associative list with lists as elements",
}
_MAP_MAY_NOT = {"NoneType": "associative list with keys may not have a null element"}


def _scalar(value: Any, kind: Type, path: str, found: list[str]) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind.kind in NUMBERS and not number:
        _say(found, path, f"expected numeric (int or float), got {go_type(value)}")
    elif kind.kind in TEXTS and not isinstance(value, str):
        text = f"&value.valueUnstructured{{Value:{go_text(value)}}}"
        _say(found, path, f"expected string, got {text}")
    elif kind.kind == "bool" and not isinstance(value, bool):
        _say(found, path, f"expected boolean, got &{{{go_text(value)}}}")


def _say(found: list[str], path: str, text: str) -> None:
    found.append(f"{path}: {text}" if path else text)


def go_text(value: Any) -> str:
    """A JSON value as Go prints it: `map[a:1 b:[x y]]`."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    return str(value)


def go_type(value: Any) -> str:
    """The Go type that a JSON value is read into."""
    return {
        "bool": "bool", "int": "int64", "float": "float64", "str": "string",
        "dict": "map[string]interface {}", "list": "[]interface {}",
    }[type(value).__name__]  # fmt: skip
