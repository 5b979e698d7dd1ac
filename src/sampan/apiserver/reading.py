"""Request bodies into objects: media types, kind and version, fieldValidation."""

from __future__ import annotations

from dataclasses import replace

from sampan.api import decode, schema
from sampan.api.body import Body, read_json, read_yaml, shown
from sampan.api.decode import Decoded
from sampan.api.errors import (
    BadRequest,
    FieldError,
    Invalid,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json, ResourceId
from sampan.api.patch import json_kind
from sampan.apiserver.call import Call
from sampan.apiserver.negotiate import JSON, PRODUCED, PROTOBUF, YAML
from sampan.apiserver.registry.metadata import one_of_each_owner
from sampan.apiserver.served import Served

BODY_LIMIT = 3 << 20
TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)
"""As messages name what is read of a body first."""


def media_type(call: Call) -> str:
    header = call.request.headers.get("content-type", "")
    return header.partition(";")[0].strip().lower()


def check_size(body: bytes) -> None:
    if len(body) > BODY_LIMIT:
        raise RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")


def read_value(call: Call, kind: ResourceId, *, duplicates: bool = True) -> Body:
    """The body as a JSON value, with kind and apiVersion filled in where they are missing."""
    try:
        return read_body(call, kind, duplicates=duplicates)
    except DecodeError as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind.kind}): {error} "
            f"({shown(call.request.body)})"
        ) from error


def read_body(call: Call, kind: ResourceId, *, duplicates: bool = True) -> Body:
    """The same; DecodeError in upstream's words for what is no object."""
    data = call.request.body
    check_size(data)
    media = media_type(call) or JSON
    try:
        if media == PROTOBUF:
            from sampan.api.protobuf import decode_request

            body = Body(decode_request(data, kind.api_version, kind.kind))
        elif media == YAML:
            body = read_yaml(data)
        elif media == JSON:
            body = read_json(data, duplicates=duplicates)
        else:
            raise UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(PRODUCED)
            )
    except DecodeError as error:
        if media != JSON:
            raise
        raise DecodeError(f"couldn't get version/kind; json parse error: {error}") from error
    if body.value is None and media == JSON:
        body = replace(body, value={})  # to Go, null is whatever it is read into
    if not isinstance(body.value, dict):
        why = f"cannot unmarshal {json_kind(body.value)} into Go value of type {TYPE_META}"
        raise DecodeError(f"couldn't get version/kind; json parse error: json: {why}")
    for key in ("apiVersion", "kind"):
        said = body.value.get(key)
        if said is not None and not isinstance(said, str):
            why = f"cannot unmarshal {json_kind(said)} into Go struct field .{key} of type string"
            raise DecodeError(f"couldn't get version/kind; json parse error: json: {why}")
    return body


def check_kind(obj: Json, kind: ResourceId, *, custom: bool = False) -> None:
    """Fill in kind and apiVersion, or refuse others. Raises BadRequest, and Invalid for objects of
    a custom resource.
    """
    said_kind, said_version = obj.get("kind"), obj.get("apiVersion") or ""
    if not said_kind:
        obj["kind"] = said_kind = kind.kind
    if not said_version and not custom:
        obj["apiVersion"] = said_version = kind.api_version
    if said_kind != kind.kind and not custom:
        raise _other_kind(str(said_kind), str(said_version), kind)
    if said_version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({said_version or ''}) does not match the expected API "
            f"version ({kind.api_version})"
        )
    if said_kind != kind.kind:
        raise other_kind(obj, kind)


def _without_kind(call: Call, kind: ResourceId) -> BadRequest:
    """Of a custom object nobody but the object itself can say what it is."""
    data = call.request.body
    return BadRequest(
        f"the object provided is unrecognized (must be of type {kind.kind}): Object 'Kind' is "
        f"missing in '{data.decode(errors='replace')}' ({shown(data)})"
    )


def _other_kind(said: str, said_version: str, kind: ResourceId) -> BadRequest:
    """Another kind that there is cannot be converted; one that there is not cannot be read."""
    group, _, version = said_version.rpartition("/")
    package = kind.group.partition(".")[0] or "core"
    if (group, version, said) in schema.objects():
        why = f"converting ({version}.{said}) to ({package}.{kind.kind}): unknown conversion"
    else:
        why = f'no kind "{said}" is registered for version "{said_version}"'
    return BadRequest(f'{said} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def other_kind(obj: Json, kind: ResourceId) -> Invalid:
    """Only in custom resources does upstream get as far as to validate the kind."""
    said, meta = str(obj["kind"]), obj.get("metadata")
    name = str(meta.get("name") or "") if isinstance(meta, dict) else ""
    error = FieldError("Invalid", "kind", said, f"must be {kind.kind}")
    return Invalid.of(kind._replace(kind=said), name, [error])


def read_object(call: Call, served: Served, validation: str) -> Json:
    """The body as an object of the served kind, in canonical form with defaults."""
    body = read_value(call, served.id, duplicates=validation != "Ignore")
    obj: Json = body.value
    if served.custom and not obj.get("kind"):
        raise _without_kind(call, served.id)
    check_kind(obj, served.id, custom=served.custom)
    found = typed(call, served, obj, validation, body)
    one_of_each_owner(found, call.warn)
    return found


def read_as(
    call: Call, kind: ResourceId, schema: str, validation: str, *, also: tuple[str, ...] = ()
) -> Json:
    """The body as an object that no resource serves (Scale, Eviction, TokenRequest); `also` are
    other apiVersions that mean the same.
    """
    body = read_value(call, kind, duplicates=validation != "Ignore")
    obj: Json = body.value
    if obj.get("apiVersion") in also:
        obj["apiVersion"] = kind.api_version
    check_kind(obj, kind)
    try:
        decoded = decode.decode(obj, schema)
    except DecodeError as error:
        raise _cannot(kind, str(error)) from error
    _complain(call, kind, decoded, validation, body)
    return decoded.obj


def typed(call: Call, served: Served, obj: Json, validation: str, body: Body | None = None) -> Json:
    """Decode by the schema; unknown and duplicate fields are refused, warned of, or dropped."""
    try:
        decoded = served.decode(obj)
    except DecodeError as error:
        raise _cannot(served.id, str(error)) from error
    _complain(call, served.id, decoded, validation, body)
    found = decoded.obj
    found["kind"], found["apiVersion"] = served.id.kind, served.id.api_version
    found.setdefault("metadata", {})
    return found


def _complain(
    call: Call, kind: ResourceId, decoded: Decoded, validation: str, body: Body | None
) -> None:
    unknown = decoded.complaints
    duplicates = list(body.duplicates) if body is not None else []
    if (unknown or duplicates) and validation == "Strict":
        listed = ", ".join(duplicates + unknown)
        raise _cannot(kind, f"strict decoding error: {listed}")
    if validation == "Warn":
        for text in (*(body.warnings if body is not None else ()), *unknown):
            call.warn(text)


def _cannot(kind: ResourceId, text: str) -> BadRequest:
    return BadRequest(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'
    )
