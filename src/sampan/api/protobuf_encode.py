"""JSON objects into Kubernetes' protobuf bodies; the other way round is `protobuf`."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from sampan.api.meta import Json
from sampan.api.wire import FIXED64, PROPS, VARINT, key, message, message_name, tagged, varint

MAGIC = b"k8s\x00"


def encode_object(obj: Json) -> bytes:
    """An object or list with kind and apiVersion, in its envelope."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    about = tagged(1, api_version.encode()) + tagged(2, kind.encode())
    raw = _encode(obj, message_name(api_version, kind))
    return MAGIC + tagged(1, about) + tagged(2, raw) + tagged(3, b"") + tagged(4, b"")


def _encode(obj: Json, name: str) -> bytes:
    out = bytearray()
    for number, slot in sorted(message(name).items()):
        if not slot.name:
            inlined = _encode(obj, slot.kind)
            if inlined:
                out += tagged(number, inlined)
            continue
        value = obj.get(slot.name)
        if value is None:
            continue
        if slot.often == "{}":
            for key, item in sorted(value.items()):
                entry = tagged(1, key.encode()) + _field(2, slot.kind, item)
                out += tagged(number, entry)
        elif slot.often == "*":
            for item in value:
                out += _field(number, slot.kind, item)
        else:
            out += _field(number, slot.kind, value)
    return bytes(out)


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind in ("int32", "int64", "bool"):
        return key(number, VARINT) + varint(int(value))
    if kind == "double":
        return key(number, FIXED64) + struct.pack("<d", value)
    writer = _WRITERS.get(kind)
    return tagged(number, writer(value) if writer else _encode(value or {}, kind))


def _time_bytes(value: str | None) -> bytes:
    if not value:
        return b""
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    seconds = int(moment.replace(microsecond=0).timestamp())
    return (
        key(1, VARINT) + varint(seconds)
        + key(2, VARINT) + varint(moment.microsecond * 1000)
    )  # fmt: skip


def _int_or_string_bytes(value: int | str) -> bytes:
    if isinstance(value, str):
        return _field(1, "int64", 1) + _field(2, "int32", 0) + tagged(3, value.encode())
    return _field(1, "int64", 0) + _field(2, "int32", value) + tagged(3, b"")


def _schema_bytes(value: Any) -> bytes:
    """The three unions around JSONSchemaProps."""
    if isinstance(value, bool):
        return _field(1, "bool", value)
    if isinstance(value, dict):
        return tagged(1, _encode(value, PROPS))
    return b"".join(
        tagged(2, item.encode() if isinstance(item, str) else _encode(item, PROPS))
        for item in value
    )


def _schema_or_bool_bytes(value: Any) -> bytes:
    if isinstance(value, bool):
        return _field(1, "bool", value)
    return _field(1, "bool", True) + tagged(2, _encode(value, PROPS))


def _json_bytes(value: Any) -> bytes:
    return tagged(1, orjson.dumps(value))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "string": lambda value: value.encode(),
    "bytes": base64.b64decode,
    "time": _time_bytes,
    "microtime": _time_bytes,
    "quantity": lambda value: tagged(1, str(value).encode()),
    "int-or-string": _int_or_string_bytes,
    "json": _json_bytes,
    "raw": _json_bytes,
    "strings": lambda value: b"".join(tagged(1, item.encode()) for item in value),
    "schema-or-array": _schema_bytes,
    "schema-or-bool": _schema_or_bool_bytes,
    "schema-or-strings": _schema_bytes,
}
