"""PUT of an object or of its status."""

from __future__ import annotations

import copy
from collections.abc import Callable

import orjson

from sampan.api.errors import AlreadyExists, NotFound
from sampan.api.meta import Json
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions, write_options
from sampan.apiserver.reading import read_object
from sampan.apiserver.registry import create as creating
from sampan.apiserver.registry import update as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import check_name, check_namespace
from sampan.apiserver.registry.update import Change
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.create import written
from sampan.std.http import Response


async def update(served: Served, call: Call, parts: Parts) -> Response:
    call.check_form(served, listing=False)
    options = write_options(call.query, "UpdateOptions")
    obj = read_object(call, served, options.validation)
    check_namespace(served, obj, call.info.namespace)
    check_name(obj, call.info.name)
    meta = obj["metadata"]
    change = Change(
        call.info.name,
        fresh(obj),
        call.info.subresource,
        retry=meta.get("resourceVersion") in (None, "", "0"),
        uid=meta.get("uid") or "",
    )
    try:
        done = await registry.update(parts, served, call, change, options)
    except NotFound:
        if call.info.subresource or not served.resource.create_on_update:
            raise
        try:
            return await _create(served, call, parts, copy.deepcopy(obj), options)
        except AlreadyExists:
            # Somebody else was faster: now it is there to be updated.
            done = await registry.update(parts, served, call, change, options)
    return written(served, call, done, 200)


def fresh(obj: Json) -> Callable[[Json], Json]:
    """What was sent, again for each attempt: an attempt leaves its marks on the object."""
    unused, sent = [obj], orjson.dumps(obj)

    def make(_current: Json) -> Json:
        again: Json = unused.pop() if unused else orjson.loads(sent)
        return again

    return make


async def _create(
    served: Served, call: Call, parts: Parts, obj: Json, options: WriteOptions
) -> Response:
    """PUT of an absent name, for kinds that allow it."""
    if obj["metadata"].get("uid"):
        raise NotFound.of(served.id, call.info.name)
    creating.may_create(parts, call)
    done = await creating.create(parts, served, call, obj, options)
    return written(served, call, done, 201)
