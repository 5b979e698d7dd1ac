"""DELETE of one object, and of a collection."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson

from sampan.api import decode
from sampan.api.errors import ApiError, BadRequest, NotFound
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import answer, success
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions, delete_options, list_options
from sampan.apiserver.reading import read_body
from sampan.apiserver.registry import delete as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.delete import Deleted
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.list import slice_of
from sampan.std.http import Response

OPTIONS = ResourceId("", "v1", "", "DeleteOptions")
OPTIONS_SCHEMA = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
META_VERSION = "meta.k8s.io/v1"
WORKERS = 8


async def delete(served: Served, call: Call, parts: Parts) -> Response:
    call.check_form(served, listing=False)
    options = read_options(call)
    _warn(served, call, options)
    done = await registry.delete(parts, served, call, call.info.name, options)
    return deleted(served, call, done, status_only=not served.resource.returns_deleted)


def _warn(served: Served, call: Call, options: DeleteOptions) -> None:
    text = served.resource.orphan_warning
    if text and not options.propagation:
        call.warn(text)


def deleted(served: Served, call: Call, done: Deleted, *, status_only: bool) -> Response:
    """A Status when the object is gone, the object when it stays or its kind shows it once more."""
    if done.gone and status_only:
        return answer(call, _status(served, done.obj))
    form = call.form(served)
    return answer(call, form.of(done.obj) if done.gone else form.single(done.item))


def _status(served: Served, obj: Json) -> bytes:
    rid, meta = served.id, obj["metadata"]
    details: Json = {"name": meta["name"]}
    if rid.group:
        details["group"] = rid.group
    details["kind"] = rid.plural
    details["uid"] = meta.get("uid", "")
    return orjson.dumps(success(details))


def read_options(call: Call) -> DeleteOptions:
    if not call.request.body:
        return delete_options(None, call.query)
    try:
        body = read_body(call, OPTIONS).value
        kind, version = body.get("kind") or OPTIONS.kind, body.get("apiVersion") or META_VERSION
        if kind != OPTIONS.kind:  # of which version is all the same to upstream
            raise DecodeError(f'no kind "{kind}" is registered for version "{version}"')
        return delete_options(decode.normal(body, OPTIONS_SCHEMA), call.query)
    except DecodeError as error:
        raise BadRequest(str(error)) from error


async def delete_collection(served: Served, call: Call, parts: Parts) -> Response:
    call.check_form(served, listing=True)
    options = read_options(call)
    _warn(served, call, options)
    chosen = await slice_of(
        served, call.info.namespace, list_options(call.query, watch=False), parts.cacher
    )
    waiting = list(reversed(chosen.items))
    refused: ExceptionGroup[ApiError] | None = None

    async def work() -> None:
        while waiting:
            await _one(served, call, parts, waiting.pop(), options)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS, len(waiting))):
                group.create_task(work())
    except* ApiError as errors:
        refused = errors
    if refused is not None:
        # The client learns of one; the others ended with it.
        raise first_of(refused)
    return answer(call, call.form(served).list(chosen.items, chosen.meta))


def first_of(group: BaseExceptionGroup[ApiError]) -> ApiError:
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found


async def _one(
    served: Served, call: Call, parts: Parts, item: Item, options: DeleteOptions
) -> None:
    info = replace(call.info, namespace=item.namespace, name=item.name)
    inner = replace(call, info=info)
    try:
        await registry.delete(parts, served, inner, item.name, options)
    except NotFound:
        return
