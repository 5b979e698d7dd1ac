"""PATCH with an applied configuration: merge by ownership, create what is not there."""

from __future__ import annotations

from sampan.api.body import Body, read_yaml
from sampan.api.conform import complaint
from sampan.api.errors import AlreadyExists, BadRequest, NotFound, Unclassified
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json, ResourceId
from sampan.api.patch import json_kind
from sampan.api.schema import Type
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions
from sampan.apiserver.refusals import conflict
from sampan.apiserver.registry import create as creating
from sampan.apiserver.registry import update as updating
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import check_name
from sampan.apiserver.registry.update import Change
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.canonical import canonical
from sampan.apiserver.verbs.create import written
from sampan.std.http import Response


async def apply(served: Served, call: Call, parts: Parts, options: WriteOptions) -> Response:
    body = read_config(call)
    config: Json = body.value
    info = call.info

    def laid_over(live: Json | None) -> Json:
        check_config(config, served.id, served.type)
        merged = parts.ownership.apply(
            served, live, config, options.manager, info.subresource, force=bool(options.force)
        )
        check_duplicates(call, body, options.validation)
        return canonical(served, call, merged, "Ignore")

    meta = config.get("metadata") or {}
    change = Change(
        info.name, laid_over, info.subresource, track=False, retry=not meta.get("resourceVersion")
    )
    for _ in range(updating.TRIES):
        try:
            done = await updating.update(parts, served, call, change, options)
            return written(served, call, done, 200)
        except NotFound:
            if info.subresource:
                raise
        obj = new_object(served, call, laid_over(None))
        creating.may_create(parts, call)
        try:
            created = await creating.create(parts, served, call, obj, options, track=False)
        except AlreadyExists:
            continue  # somebody else was faster: now it is there to be applied to
        return written(served, call, created, 201)
    raise conflict(served.id, info.name)


def new_object(served: Served, call: Call, obj: Json) -> Json:
    """What is applied where nothing is yet. Raises Conflict and BadRequest."""
    meta, name = obj["metadata"], call.info.name
    if meta.get("uid"):
        why = f"the provided object specified uid {meta['uid']}, and no existing object was found"
        raise conflict(served.id, name, f"uid mismatch: {why}")
    check_name(obj, name)
    meta.pop("resourceVersion", None)
    return obj


def read_config(call: Call) -> Body:
    """The configuration as it was written: no defaults. Raises BadRequest."""
    try:
        body: Body = read_yaml(call.request.body)
    except DecodeError as error:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    if body.value is None:
        return Body({})
    if not isinstance(body.value, dict):
        raise BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot "
            f"unmarshal {json_kind(body.value)} into Go value of type map[string]interface {{}}"
        )
    return body


def check_config(config: Json, rid: ResourceId, kind: Type) -> None:
    """The configuration is one of this kind. Raises BadRequest, and what upstream does not name."""
    said_version, said_kind = config.get("apiVersion") or "", config.get("kind") or ""
    group, _, version = said_version.rpartition("/")
    if (said_version, said_kind) != (rid.api_version, rid.kind):
        raise BadRequest(f"invalid object type: {group}/{version}, Kind={said_kind}")
    meta = config.get("metadata") or {}
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    wrong = complaint(config, kind)
    if wrong:
        meta = meta if isinstance(meta, dict) else {}
        place = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
        of = f"{place}; {group}/{version}, Kind={said_kind}"
        raise Unclassified(f"failed to create typed patch object ({of}): {wrong}")


def check_duplicates(call: Call, body: Body, validation: str) -> None:
    """Keys that stand twice. Raises BadRequest where the client wants to be strict."""
    if not body.duplicates or validation == "Ignore":
        return
    if validation == "Strict":
        text = f"error converting YAML to JSON: {', '.join(body.duplicates)}"
        raise BadRequest(f"error strict decoding YAML: {text}")
    for line in body.warnings:
        call.warn(line)
