"""The scale subresource: the number of replicas of any kind that has one, as a Scale."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import decode, managed, schema
from sampan.api.body import Body
from sampan.api.errors import InternalError, Invalid, NotFound
from sampan.api.leaves import DecodeError
from sampan.api.managed_scale import of_scale, onto_parent
from sampan.api.meta import Json, ResourceId
from sampan.api.patch import json_patch, merge_patch_of, undecodable
from sampan.api.resource import Column, Resource
from sampan.api.strategic import strategic_merge
from sampan.apiserver.answers import answer
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions, one, write_options
from sampan.apiserver.reading import media_type, read_as
from sampan.apiserver.refusals import no_such_method
from sampan.apiserver.registry import update as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.metadata import check_name
from sampan.apiserver.registry.update import Change
from sampan.apiserver.render import Form, MetadataOnly, Table, Whole
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.apply import check_config, check_duplicates, read_config
from sampan.apiserver.verbs.patch import (
    APPLY,
    JSON_PATCH,
    MERGE,
    check_media,
    names_revision,
    read_patch,
)
from sampan.resources.autoscaling import scale as scales
from sampan.resources.autoscaling.scale import WORKLOADS
from sampan.resources.cells import age
from sampan.std.http import Response

SCALE = ResourceId("autoscaling", "v1", "", "Scale")
SCHEMA = "io.k8s.api.autoscaling.v1.Scale"
WHOLE = Whole(Resource(
    id=SCALE,
    schema=SCHEMA,
    columns=(
        Column("Name", lambda obj, _now: obj["metadata"]["name"], format="name"),
        Column(
            "Desired", lambda obj, _now: (obj.get("spec") or {}).get("replicas", 0), "integer"
        ),
        Column(
            "Available", lambda obj, _now: (obj.get("status") or {}).get("replicas", 0), "integer"
        ),
        Column("Age", age),
    ),
))  # fmt: skip


class Scales:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, served: Served, call: Call) -> Response:
        method = call.request.method
        if method == "GET":
            current = self._current(served, call)
            if served.scale is not None and not scales.tells(current, served.scale):
                path = ".".join(("", *served.scale.replicas))
                says = f'the spec replicas field "{path}" does not exist'
                text = f"Internal error occurred: {says}"
                raise InternalError(text, details={"causes": [{"message": says}]})
            return self._answer(served, call, current)
        if method == "PUT":
            options = write_options(call.query, "UpdateOptions")
            scale = read_as(call, SCALE, SCHEMA, options.validation)
            check_name(scale, call.info.name)
            retry = not scale["metadata"].get("resourceVersion")
            change = self._change(served, call, lambda _current: scale, retry=retry)
        elif method == "PATCH":
            media = media_type(call)
            check_media(served, media)
            options = write_options(call.query, "PatchOptions", apply=media == APPLY)
            if media == APPLY:
                return await self._apply(served, call, options)
            sent = read_patch(call.request.body, media, options.validation)
            change = self._change(
                served, call, lambda current: _patched(call, current, sent, options.validation),
                retry=not names_revision(sent.value),
            )  # fmt: skip
        else:
            raise no_such_method()
        done = await registry.update(self._parts, served, call, change, options)
        obj = served.current(done) if isinstance(done, Item) else done
        return self._answer(served, call, obj)

    async def _apply(self, served: Served, call: Call, options: WriteOptions) -> Response:
        body = read_config(call)
        config: Json = body.value
        paths = served.scale or WORKLOADS
        path = tuple(f"f:{step}" for step in paths.replicas)

        def scaled(current: Json) -> Json:
            check_config(config, SCALE, schema.of(SCHEMA))
            owners = managed.read_or_nothing(current["metadata"].get("managedFields"))
            live = scales.of(current, paths)
            live["metadata"]["managedFields"] = managed.written(of_scale(owners, path))
            merged = self._parts.ownership.apply_scale(live, config, options)
            check_duplicates(call, body, options.validation)
            scale = {**decode.normal(merged, SCHEMA), "kind": SCALE.kind}
            check_name(scale, call.info.name)
            _check(scale, call.info.name)
            scales.onto(current, scale, paths)
            changed = managed.read_or_nothing(scale["metadata"].get("managedFields"))
            owners = onto_parent(owners, changed, path, served.id.api_version)
            current["metadata"]["managedFields"] = managed.written(owners)
            current["metadata"]["resourceVersion"] = scale["metadata"].get("resourceVersion", "")
            return current

        retry = not (config.get("metadata") or {}).get("resourceVersion")
        change = Change(call.info.name, scaled, "scale", track=False, retry=retry)
        done = await registry.update(self._parts, served, call, change, options)
        obj = served.current(done) if isinstance(done, Item) else done
        return self._answer(served, call, obj)

    def _current(self, served: Served, call: Call) -> Json:
        item = served.collection.get(call.info.namespace, call.info.name)
        if item is None:
            raise NotFound.of(served.id, call.info.name)
        return served.current(item)

    def _change(
        self, served: Served, call: Call, make: Callable[[Json], Json], *, retry: bool
    ) -> Change:
        paths = served.scale or WORKLOADS

        def scaled(current: Json) -> Json:
            scale = make(scales.of(current, paths))
            if served.scale is None:
                _check(scale, call.info.name)
            scales.onto(current, scale, paths)
            said = scale["metadata"].get("resourceVersion")
            if said:
                current["metadata"]["resourceVersion"] = said
            return current

        return Change(call.info.name, scaled, "scale", retry=retry)

    def _answer(self, served: Served, call: Call, obj: Json) -> Response:
        scale = scales.of(obj, served.scale or WORKLOADS)
        return answer(call, _form(served, call).of(scale))


def _form(served: Served, call: Call) -> Form:
    """How the client wants the Scale."""
    call.check_form(served, listing=False)
    wish = call.wish
    if not wish.transform:
        return WHOLE
    api_version = f"meta.k8s.io/{wish.version}"
    if wish.transform == "Table":
        return Table(WHOLE, one(call.query, "includeObject"), served.now, api_version)
    return MetadataOnly(WHOLE, api_version)


def _patched(call: Call, current: Json, sent: Body, validation: str) -> Json:
    """The Scale after a patch. Raises Invalid when it no longer is one."""
    media = media_type(call)
    if media == JSON_PATCH:
        patched = json_patch(current, sent.value)
    else:
        merge = merge_patch_of if media == MERGE else _strategic
        patched = merge(current, sent.value)
    try:
        decoded = decode.decode(patched, SCHEMA)
    except DecodeError as error:
        raise undecodable(patched, str(error)) from error
    found = [*sent.duplicates, *decoded.complaints]
    if found and validation == "Strict":
        raise undecodable(patched, f"strict decoding error: {', '.join(found)}")
    if validation == "Warn":
        for text in found:
            call.warn(text)
    return {**decoded.obj, "kind": SCALE.kind}


def _strategic(current: Json, sent: object) -> Json:
    return strategic_merge(current, sent, SCHEMA)


def _check(scale: Json, name: str) -> None:
    errors = scales.validate(scale)
    if errors:
        raise Invalid.of(SCALE, name, errors)
