"""PATCH with an applied configuration: merge by ownership, create what is not there."""

from __future__ import annotations

from sampan.api.body import Body, read_yaml
from sampan.api.errors import BadRequest, NotFound
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions
from sampan.apiserver.reading import check_kind, typed
from sampan.apiserver.registry import create as creating
from sampan.apiserver.registry import update as updating
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.update import Change
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.canonical import canonical
from sampan.apiserver.verbs.create import written
from sampan.std.http import Response


async def apply(served: Served, call: Call, parts: Parts, options: WriteOptions) -> Response:
    config = read_config(served, call, options)
    info = call.info

    def laid_over(live: Json | None) -> Json:
        merged = parts.ownership.apply(
            served, live, config, options.manager, info.subresource, force=bool(options.force)
        )
        return canonical(served, call, merged, "Ignore")

    meta = config.get("metadata") or {}
    change = Change(
        info.name, laid_over, info.subresource, track=False, retry=not meta.get("resourceVersion")
    )
    try:
        done = await updating.update(parts, served, call, change, options)
        return written(served, call, done, 200)
    except NotFound:
        if info.subresource or meta.get("uid"):
            raise
    obj = laid_over(None)
    created = await creating.create(parts, served, call, obj, options, track=False)
    return written(served, call, created, 201)


def read_config(served: Served, call: Call, options: WriteOptions) -> Json:
    """The configuration as it was written: no defaults, but everything must be known."""
    try:
        body: Body = read_yaml(call.request.body)
    except DecodeError as error:
        raise BadRequest(f"error decoding YAML: {error}") from error
    config = body.value
    if not isinstance(config, dict):
        raise BadRequest("error decoding YAML: the configuration is no object")
    check_kind(config, served.id)
    typed(call, served, config, options.validation, body)
    meta = config.setdefault("metadata", {})
    for key, wanted in (("name", call.info.name), ("namespace", call.info.namespace)):
        said = meta.get(key)
        if said and wanted and said != wanted:
            text = (
                f"the {key} of the object ({said}) does not match the {key} on the URL ({wanted})"
            )
            raise BadRequest(text)
    meta["name"] = call.info.name
    if served.id.namespaced:
        meta["namespace"] = call.info.namespace
    return config
