"""Answers: bytes with a media type, a status, warnings, and gzip where it pays."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from sampan.api.errors import ApiError, NotAcceptable
from sampan.api.meta import Json
from sampan.apiserver.call import Call
from sampan.apiserver.negotiate import JSON, YAML, choose
from sampan.apiserver.options import read_query
from sampan.std.http import Request, Response

GZIP_FROM = 128 << 10
"""Smaller bodies are not worth the CPU; upstream draws the line at the same place."""


def answer(call: Call, body: bytes, status: int = 200) -> Response:
    """An object or list in the media type that was negotiated."""
    media = call.wish.media_type
    if media != JSON:
        body = encoded(orjson.loads(body), media)
    elif call.wish.indent or wants_indent(call.request):
        body = indented(orjson.loads(body))
    headers = {"content-type": media, "cache-control": "no-cache, private"}
    add_warnings(headers, call.warnings)
    if len(body) >= GZIP_FROM and "gzip" in call.request.headers.get("accept-encoding", ""):
        body = gzipped(body)
        headers["content-encoding"] = "gzip"
        headers["vary"] = "Accept-Encoding"
    return Response(status, headers, body)


def encoded(value: Any, media: str) -> bytes:
    """An object with kind and apiVersion, in YAML or protobuf."""
    if media == YAML:
        return to_yaml(value)
    from sampan.api.protobuf_encode import encode_object

    return encode_object(value)


def wants_indent(request: Request) -> bool:
    """For people: browsers and terminals get it unasked."""
    if "pretty" in request.query:
        asked = read_query(request.query).get("pretty", [""])[0]
        if asked:
            return asked in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("user-agent", "").startswith(("curl", "Wget", "Mozilla/5.0"))


def indented(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def json_answer(value: Any, status: int = 200, *, indent: bool = False) -> Response:
    """A document that has one form only."""
    headers = {"content-type": JSON, "cache-control": "no-cache, private"}
    return Response(status, headers, indented(value) if indent else orjson.dumps(value))


def text_answer(text: str, status: int = 200) -> Response:
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-cache, private",
        "x-content-type-options": "nosniff",
    }
    return Response(status, headers, text.encode())


def page_not_found() -> Response:
    return text_answer("404 page not found\n", 404)


def too_many() -> Response:
    """As upstream's filters refuse, before there is anything to negotiate."""
    response = text_answer("Too many requests, please try again later.\n", 429)
    response.headers["retry-after"] = "1"
    return response


def error_answer(error: ApiError, request: Request, warnings: list[str] | None = None) -> Response:
    """A Status in the form that the client asked for, or in JSON if we have none such."""
    status = error.status()
    try:
        media = choose(request.headers.get("accept", "")).media_type
    except NotAcceptable:
        media = JSON
    response = json_answer(status, error.code, indent=wants_indent(request))
    if media != JSON:
        response = Response(error.code, {**response.headers, "content-type": media}, b"")
        response.body = encoded(status, media)
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
    from sampan.api import yaml11

    return yaml11.dump(value).encode()
