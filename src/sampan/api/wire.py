"""How protobuf messages are numbered: the generated tables, and the words of the wire."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from sampan.api import facts, schema

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MASK64 = (1 << 64) - 1
PROPS = "apiextensions.v1.JSONSchemaProps"


class Slot(NamedTuple):
    """A numbered field of a message."""

    name: str
    """The JSON field; empty where the message is inlined."""
    often: str
    """"" once, "*" repeated, "{}" a map by strings."""
    kind: str


@cache
def message(name: str) -> dict[int, Slot]:
    """The fields of a message by number. One that has none is in no table of fields."""
    package, _, short = name.rpartition(".")
    rows = facts.load(f"wire/{package}").get(short, {})
    return {int(number): Slot(*(row + [""] * (3 - len(row)))) for number, row in rows.items()}


def embedding(name: str, field: str) -> list[str]:
    """The Go structs, innermost first, through which a struct has the field: a Volume's
    `emptyDir` is one of its embedded VolumeSource.
    """
    slots = message(name).values()
    if any(slot.name == field for slot in slots):
        return []
    for slot in slots:
        if not slot.name and slot.kind and (inner := _within(slot.kind, field)):
            return inner
    return []


def _within(name: str, field: str) -> list[str]:
    short = name.rpartition(".")[2]
    if any(slot.name == field for slot in message(name).values()):
        return [short]
    deeper = embedding(name, field)
    return [*deeper, short] if deeper else []


def message_name(api_version: str, kind: str) -> str:
    """The message of an API kind; KeyError if there is none."""
    group, _, version = api_version.rpartition("/")
    shape = schema.by_gvk(group, version, kind)
    if shape is not None:
        return shape.name
    if kind in facts.load("wire/meta.v1"):
        return f"meta.v1.{kind}"
    raise KeyError(kind)


def key(number: int, wire: int) -> bytes:
    """What stands before a field."""
    return varint(number << 3 | wire)


def tagged(number: int, value: bytes) -> bytes:
    """A field of bytes: text, a message."""
    return key(number, BYTES) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the least significant first."""
    value &= MASK64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
