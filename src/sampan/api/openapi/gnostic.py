"""The OpenAPI v2 document as protobuf (gnostic's openapi.v2.Document), for old clients.

    encode_swagger(document) -> bytes

Values without a type of their own (defaults, enums, `x-` extensions) travel as YAML, which JSON is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from sampan.api.meta import Json
from sampan.api.wire import VARINT, key, tagged, varint

_SCHEMA_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_SCHEMA_NUMBERS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15,
                   "maxProperties": 17, "minProperties": 18}  # fmt: skip
_VERBS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_QUERY = {"description": 3, "name": 4, "type": 6, "format": 7, "unique": 20}
_PATH = {"description": 3, "name": 4, "type": 5, "format": 6, "unique": 19}


def encode_swagger(document: Json) -> bytes:
    """The whole document."""
    info = document["info"]
    paths = b"".join(
        tagged(2, _named(path, _path_item(item))) for path, item in document["paths"].items()
    )
    definitions = b"".join(
        tagged(1, _named(name, _schema(body))) for name, body in document["definitions"].items()
    )
    return (
        _text(1, document["swagger"])
        + tagged(2, _text(1, info["title"]) + _text(2, info["version"]))
        + tagged(8, paths)
        + tagged(9, definitions)
    )


def _path_item(item: Json) -> bytes:
    out = b"".join(
        tagged(number, _operation(item[verb])) for verb, number in _VERBS.items() if verb in item
    )
    return out + _parameters(9, item.get("parameters") or ())


def _operation(operation: Json) -> bytes:
    responses = b"".join(
        tagged(1, _named(code, tagged(1, _response(answer))))
        for code, answer in operation["responses"].items()
    )
    return (
        _texts(1, operation.get("tags"))
        + _text(3, operation.get("description"))
        + _text(5, operation.get("operationId"))
        + _texts(6, operation.get("produces"))
        + _texts(7, operation.get("consumes"))
        + _parameters(8, operation.get("parameters") or ())
        + tagged(9, responses)
        + _texts(10, operation.get("schemes"))
        + _extensions(13, operation)
    )


def _response(answer: Json) -> bytes:
    out = _text(1, answer.get("description"))
    if "schema" in answer:
        out += tagged(2, tagged(1, _schema(answer["schema"])))
    return out


def _parameters(number: int, parameters: Iterable[Json]) -> bytes:
    return b"".join(tagged(number, tagged(1, _parameter(p))) for p in parameters)


def _parameter(parameter: Json) -> bytes:
    if parameter["in"] == "body":
        body = (
            _text(1, parameter.get("description"))
            + _text(2, parameter["name"])
            + _text(3, "body")
            + _flag(4, parameter.get("required"))
            + tagged(5, _schema(parameter["schema"]))
        )
        return tagged(1, body)
    place, numbers = (3, _QUERY) if parameter["in"] == "query" else (4, _PATH)
    plain = (
        _flag(1, parameter.get("required"))
        + _text(2, parameter["in"])
        + _text(numbers["description"], parameter.get("description"))
        + _text(numbers["name"], parameter["name"])
        + _text(numbers["type"], parameter.get("type"))
        + _text(numbers["format"], parameter.get("format"))
        + _flag(numbers["unique"], parameter.get("uniqueItems"))
    )
    return tagged(2, tagged(place, plain))


def _schema(schema: Json) -> bytes:
    out = bytearray()
    for name, number in _SCHEMA_TEXTS.items():
        out += _text(number, schema.get(name))
    for name, number in _SCHEMA_NUMBERS.items():
        if name in schema:
            out += key(number, VARINT) + varint(schema[name])
    for name, write in _SCHEMA_PARTS.items():
        if name in schema:
            out += write(schema[name])
    return bytes(out) + _extensions(31, schema)


def _more_properties(value: Any) -> bytes:
    if isinstance(value, bool):
        return tagged(21, key(2, VARINT) + varint(int(value)))
    return tagged(21, tagged(1, _schema(value)))


def _properties(value: Json) -> bytes:
    fields = b"".join(tagged(1, _named(name, _schema(body))) for name, body in value.items())
    return tagged(25, fields)


_SCHEMA_PARTS: dict[str, Callable[[Any], bytes]] = {
    "default": lambda value: tagged(5, _any(value)),
    "required": lambda value: _texts(19, value),
    "enum": lambda value: b"".join(tagged(20, _any(item)) for item in value),
    "additionalProperties": _more_properties,
    "type": lambda value: tagged(22, _texts(1, [value] if isinstance(value, str) else value)),
    "items": lambda value: tagged(23, tagged(1, _schema(value))),
    "allOf": lambda value: b"".join(tagged(24, _schema(item)) for item in value),
    "properties": _properties,
}


def _extensions(number: int, holder: Json) -> bytes:
    return b"".join(
        tagged(number, _named(name, _any(value)))
        for name, value in holder.items()
        if name.startswith("x-")
    )


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + tagged(2, value)


def _any(value: Any) -> bytes:
    return _text(2, orjson.dumps(value).decode())


def _text(number: int, value: Any) -> bytes:
    return tagged(number, value.encode()) if value else b""


def _texts(number: int, values: Iterable[str] | None) -> bytes:
    return b"".join(tagged(number, value.encode()) for value in values or ())


def _flag(number: int, value: Any) -> bytes:
    return key(number, VARINT) + b"\x01" if value else b""
