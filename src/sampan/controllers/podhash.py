"""The pod-template-hash: equal to upstream's, so that ReplicaSets keep their names when a cluster
moves, and people find the names they know.

The rule: print the template as Go's deep printer shows the struct of its API types (every field,
in the order of the published definitions, with type names, empty ones too), take FNV-1a of 32 bits
of that text, and of the collision count, and write the number in an alphabet without vowels.

`template_fields.json` holds the order: struct -> "GoName jsonName type", `-` for an embedded one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from sampan.api.meta import Json

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_ALIASES = {"v1.ResourceList": "map[v1.ResourceName]resource.Quantity"}
_NO_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


class _Field(NamedTuple):
    go: str
    json: str
    type: str


def template_hash(template: Json, collisions: int | None = None) -> str:
    """The hash of a defaulted pod template, as in `web-5d9f7f9569`."""
    data = printed("v1.PodTemplateSpec", template).encode()
    if collisions is not None:
        data += collisions.to_bytes(4, "little") + bytes(4)
    return safe(str(fnv32a(data)))


def fnv32a(data: bytes) -> int:
    value = 2166136261
    for byte in data:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def safe(text: str) -> str:
    """Letters and digits that cannot make words."""
    return "".join(_SAFE[ord(letter) % len(_SAFE)] for letter in text)


def printed(kind: str, value: Any) -> str:
    """A value as Go prints it with its types (`%#v` of the deep printer)."""
    return _show(kind, value, named=True)


def _show(kind: str, value: Any, *, named: bool) -> str:
    if kind[0] == "*":
        if value is None:
            return f"({kind})<nil>" if named else "<nil>"
        return (f"({kind})" if named else "<*>") + _show(kind[1:], value, named=False)
    shape = _ALIASES.get(kind, kind)
    return (f"({kind})" if named else "") + _body(shape, value)


def _body(shape: str, value: Any) -> str:
    # An empty list or map and none are the same once an object went through storage.
    if shape.startswith("[]"):
        return _list(shape, value) if value else "<nil>"
    if shape.startswith("map["):
        return _mapping(shape, value) if value else "<nil>"
    special = _SPECIAL.get(shape)
    if special is not None:
        return special(value)
    fields = _fields().get(shape)
    if fields is None:
        return str(value or "")  # a string, perhaps under another name
    return "{" + " ".join(_member(field, value or {}) for field in fields) + "}"


def _list(shape: str, value: Any) -> str:
    return "[" + " ".join(_show(shape[2:], item, named=False) for item in value) + "]"


def _member(field: _Field, value: Json) -> str:
    inner = value if field.json == "-" else value.get(field.json)
    return f"{field.go}:{_show(field.type, inner, named=True)}"


def _mapping(shape: str, value: Json) -> str:
    inner = shape[shape.index("]") + 1 :]
    pairs = (f"{key}:{_show(inner, value[key], named=False)}" for key in sorted(value))
    return "map[" + " ".join(pairs) + "]"


def _int_or_string(value: Any) -> str:
    is_text = isinstance(value, str)
    kind, number, text = (1, 0, value) if is_text else (0, value or 0, "")
    return f"{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"


def _is_remembered(style: str, digits: str, scale: int) -> bool:
    """Whether Go keeps the text of a quantity that it read: where it sees at a glance that the
    text is the shortest one. `64Mi` is too, but eights of a binary unit may be more of a larger.
    """
    if style == "BinarySI":
        return int(digits) % 8 != 0
    if digits == "0":
        return True
    return scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def _quantity(value: Any) -> str:
    text = str(value)
    match = re.fullmatch(r"([+-]?\d*)\.?(\d*)([a-zA-Z]*)([+-]?\d*)", text)
    whole, part, suffix, exponent = match.groups() if match else ("0", "", "", "")
    if suffix in _BINARY:
        amount, scale, style = int(whole + part) << _BINARY[suffix], 0, "BinarySI"
    elif suffix in ("e", "E") and exponent:
        amount, scale, style = int(whole + part), int(exponent) - len(part), "DecimalExponent"
    else:
        amount, scale, style = int(whole + part), _DECIMAL[suffix] - len(part), "DecimalSI"
    kept = text if _is_remembered(style, (whole + part).lstrip("+-"), scale) else ""
    return (
        f"{{i:(resource.int64Amount){{value:(int64){amount} scale:(resource.Scale){scale}}} "
        f"d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} "
        f"s:(string){kept} Format:(resource.Format){style}}}"
    )


_SPECIAL: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "true" if value else "false",
    "int32": lambda value: str(value or 0),
    "int64": lambda value: str(value or 0),
    "v1.Time": lambda value: _NO_TIME,
    "intstr.IntOrString": _int_or_string,
    "resource.Quantity": _quantity,
}


@cache
def _fields() -> dict[str, tuple[_Field, ...]]:
    text = resources.files(__package__).joinpath("template_fields.json").read_text("utf-8")
    return {
        name: tuple(_Field(*row.split(" ")) for row in rows)
        for name, rows in json.loads(text).items()
    }
