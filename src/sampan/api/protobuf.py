"""Kubernetes' protobuf bodies into JSON objects, by the generated wire tables.

    k8s\\0 + Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: the object, 3: encoding, 4: media type}

Field numbers are facts of the API; the oddities are here: times, quantities and int-or-strings are
messages on the wire and scalars in JSON, some messages are inlined in JSON (a Volume's source),
some wrap a bare list. Numbers that the tables do not know are passed over, as newer clients send
them.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.protobuf_encode import MAGIC, encode_object
from sampan.api.wire import (
    BYTES,
    FIXED32,
    FIXED64,
    MASK64,
    PROPS,
    VARINT,
    Slot,
    message,
    message_name,
)

__all__ = ["MAGIC", "decode_request", "encode_object"]


def decode_request(data: bytes, api_version: str, kind: str) -> Json:
    """The object in an envelope; the given kind counts where the envelope names none."""
    if not data.startswith(MAGIC):
        raise DecodeError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        return _opened(memoryview(data)[len(MAGIC) :], api_version, kind)
    except (IndexError, TypeError, AttributeError, struct.error, UnicodeDecodeError) as error:
        raise DecodeError(f"the protobuf message for {kind} is broken off or malformed") from error
    except RecursionError:
        raise DecodeError("exceeded max depth") from None


def _opened(data: memoryview, api_version: str, kind: str) -> Json:
    envelope = _decode(data, "runtime.Unknown", raw=True)
    about = envelope.get("typeMeta", {})
    api_version, kind = about.get("apiVersion") or api_version, about.get("kind") or kind
    try:
        name = message_name(api_version, kind)
    except KeyError:
        text = f'no kind "{kind}" is registered for version "{api_version}"'
        raise DecodeError(text) from None
    obj = _decode(memoryview(envelope.get("raw", b"")), name)
    return {"apiVersion": api_version, "kind": kind, **obj}


# --- decoding


def _decode(data: memoryview, name: str, *, raw: bool = False) -> Json:
    slots = message(name)
    out: Json = {}
    for number, wire, value in _parts(data):
        slot = slots.get(number)
        if slot is None:
            continue
        if slot.often == "{}":
            _decode_entry(out, slot, value)
        elif slot.often == "*":
            out.setdefault(slot.name, []).extend(_repeated(slot, wire, value))
        elif not slot.name:
            out |= _decode(value, slot.kind)
        elif raw and slot.kind == "bytes":
            out[slot.name] = bytes(value)
        else:
            out[slot.name] = _single(slot.kind, value)
    return out


def _decode_entry(out: Json, slot: Slot, value: Any) -> None:
    key, item = "", _EMPTY.get(slot.kind)
    for number, _, part in _parts(value):
        if number == 1:
            key = str(part, "utf-8")
        elif number == 2:
            item = _single(slot.kind, part)
    if item is None and slot.kind not in _SPECIAL:
        item = {}
    out.setdefault(slot.name, {})[key] = item


def _repeated(slot: Slot, wire: int, value: Any) -> Iterator[Any]:
    if wire == BYTES and slot.kind in ("int32", "int64", "bool"):
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            yield _single(slot.kind, number)
    else:
        yield _single(slot.kind, value)


def _single(kind: str, value: Any) -> Any:
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(value)
    return _decode(value, kind)


def _parts(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of every field in turn."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise DecodeError(f"proto: illegal wireType {wire}")
        if at + size > end:
            raise DecodeError("unexpected EOF")
        yield tag >> 3, wire, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MASK64, at
        shift += 7


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(value: memoryview) -> dict[int, Any]:
    return {number: part for number, _, part in _parts(value)}


def _time(value: memoryview) -> str | None:
    """An empty time is an unset one."""
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _microtime(value: memoryview) -> str | None:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _moment(value: memoryview) -> datetime | None:
    parts = _fields(value)
    if not parts:
        return None
    seconds, nanos = _signed(parts.get(1, 0)), parts.get(2, 0)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _int_or_string(value: memoryview) -> int | str:
    parts = _fields(value)
    return str(parts.get(3, b""), "utf-8") if parts.get(1) else _signed(parts.get(2, 0))


def _json(value: memoryview) -> Any:
    raw = bytes(_fields(value).get(1, b""))
    return orjson.loads(raw) if raw else None


def _strings(value: memoryview) -> list[str]:
    return [str(part, "utf-8") for number, _, part in _parts(value) if number == 1]


def _props(value: memoryview) -> Json:
    """A schema within a union, which nothing looks at again: without the empty texts and numbers
    that protobuf writes for fields that nobody set.
    """
    from sampan.api.decode import normal

    return normal(_decode(value, PROPS), PROPS)


def _schema_or_array(value: memoryview) -> Any:
    parts = list(_parts(value))
    for number, _, part in parts:
        if number == 1:
            return _props(part)
    return [_props(part) for number, _, part in parts if number == 2]


def _schema_or_bool(value: memoryview) -> Any:
    parts = _fields(value)
    return _props(parts[2]) if 2 in parts else bool(parts.get(1, 0))


def _schema_or_strings(value: memoryview) -> Any:
    parts = list(_parts(value))
    for number, _, part in parts:
        if number == 1:
            return _props(part)
    return [str(part, "utf-8") for number, _, part in parts if number == 2]


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: str(value, "utf-8"),
    "bytes": lambda value: base64.b64encode(value).decode(),
    "bool": bool,
    "int32": _signed,
    "int64": _signed,
    "double": lambda value: struct.unpack("<d", value)[0],
    "time": _time,
    "microtime": _microtime,
    "quantity": lambda value: str(_fields(value).get(1, b""), "utf-8") or "0",
    "int-or-string": _int_or_string,
    "json": _json,
    "raw": _json,
    "strings": _strings,
    "schema-or-array": _schema_or_array,
    "schema-or-bool": _schema_or_bool,
    "schema-or-strings": _schema_or_strings,
}

_EMPTY: dict[str, Any] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0,
                          "quantity": "0", "strings": []}  # fmt: skip
"""The value of a map entry that brings none."""
