"""Answers: bytes with a media type, a status, warnings, and gzip where it pays."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from sampan.api.errors import ApiError
from sampan.api.meta import Json
from sampan.apiserver.call import Call
from sampan.apiserver.negotiate import JSON, PROTOBUF, YAML
from sampan.std.http import Response

GZIP_FROM = 128 << 10
"""Smaller bodies are not worth the CPU; upstream draws the line at the same place."""


def answer(call: Call, body: bytes, status: int = 200) -> Response:
    """An object or list in the media type that was negotiated."""
    media = call.wish.media_type
    if media == YAML:
        body = to_yaml(orjson.loads(body))
    elif media == PROTOBUF:
        from sampan.api.protobuf_encode import encode_object

        body = encode_object(orjson.loads(body))
    headers = {"content-type": media, "cache-control": "no-cache, private"}
    add_warnings(headers, call.warnings)
    if len(body) >= GZIP_FROM and "gzip" in call.request.headers.get("accept-encoding", ""):
        body = gzipped(body)
        headers["content-encoding"] = "gzip"
        headers["vary"] = "Accept-Encoding"
    return Response(status, headers, body)


def json_answer(value: Any, status: int = 200) -> Response:
    """A document that has one form only."""
    headers = {"content-type": JSON, "cache-control": "no-cache, private"}
    return Response(status, headers, orjson.dumps(value))


def text_answer(text: str, status: int = 200) -> Response:
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-cache, private",
        "x-content-type-options": "nosniff",
    }
    return Response(status, headers, text.encode())


def page_not_found() -> Response:
    return text_answer("404 page not found\n", 404)


def error_answer(error: ApiError, warnings: list[str] | None = None) -> Response:
    response = json_answer(error.status(), error.code)
    response.headers.update(error.headers)
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        response.headers["retry-after"] = str(retry)
    add_warnings(response.headers, warnings or [])
    return response


def success(details: Json) -> Json:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details,
    }  # fmt: skip


def add_warnings(headers: dict[str, str], warnings: list[str]) -> None:
    """`299 - "text"` for each; one header line each, as clients print them one by one."""
    if not warnings:
        return
    lines = []
    for text in warnings:
        clean = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'299 - "{clean}"')
    headers["warning"] = "\r\nwarning: ".join(lines)


def gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def to_yaml(value: Any) -> bytes:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, sort_keys=True, allow_unicode=True)
    return text.encode()
