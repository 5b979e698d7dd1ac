"""PATCH: four kinds of patches, all of them one change of one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.body import Body, read_json
from sampan.api.errors import BadRequest, Invalid, UnsupportedMediaType
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.patch import (
    decoding_error,
    in_memory,
    json_patch,
    merge_patch_of,
    unconvertible,
    unknown_in_operations,
)
from sampan.api.strategic import strategic_merge
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions, write_options
from sampan.apiserver.reading import check_size, media_type
from sampan.apiserver.registry import update as registry
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.update import Change
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.apply import apply
from sampan.apiserver.verbs.canonical import canonical
from sampan.apiserver.verbs.create import written
from sampan.std.http import Response

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


async def patch(served: Served, call: Call, parts: Parts) -> Response:
    call.check_form(served, listing=False)
    media = media_type(call)
    check_media(served, media)
    options = write_options(call.query, "PatchOptions", apply=media == APPLY)
    check_size(call.request.body)
    if media == APPLY:
        return await apply(served, call, parts, options)
    try:
        sent = read_patch(call.request.body, media, options.validation)
    except BadRequest:
        registry.stored(served, call, call.info.name)  # a patch is read once there is an object
        raise
    change = Change(
        call.info.name,
        changer(served, call, media, sent, options),
        call.info.subresource,
        retry=not names_revision(sent.value),
    )
    done = await registry.update(parts, served, call, change, options)
    return written(served, call, done, 200)


def check_media(served: Served, media: str) -> None:
    """Raises UnsupportedMediaType, in the words of whoever upstream refuses it."""
    if served.custom:
        if media not in (JSON_PATCH, MERGE, APPLY):
            raise UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                f"{JSON_PATCH}, {MERGE}, {APPLY}"
            )
    elif media not in (JSON_PATCH, MERGE, STRATEGIC, APPLY):
        raise UnsupportedMediaType("415: Unsupported Media Type", details={})


def read_patch(data: bytes, media: str, validation: str) -> Body:
    """The patch, and what strict decoding finds in it."""
    try:
        sent = read_json(data, duplicates=validation != "Ignore")
    except DecodeError as error:
        # Upstream says what is wrong with a strategic patch without an introduction.
        text = str(error)
        raise BadRequest(text) if media == STRATEGIC else decoding_error(text) from error
    if media != JSON_PATCH or validation == "Ignore":
        return sent
    found = [*sent.duplicates, *unknown_in_operations(sent.value)]
    return Body(sent.value, tuple(f"json patch {text}" for text in found))


def names_revision(sent: Any) -> bool:
    meta = sent.get("metadata") if isinstance(sent, dict) else None
    return isinstance(meta, dict) and bool(meta.get("resourceVersion"))


def changer(
    served: Served, call: Call, media: str, sent: Body, options: WriteOptions
) -> Callable[[Json], Json]:
    """The function from the stored object to the patched one, in canonical form."""

    def misfit(text: str) -> Invalid:
        return unconvertible(sent.value, in_memory(text))

    def make(current: Json) -> Json:
        if media == JSON_PATCH:
            patched = json_patch(current, sent.value)
        elif media == MERGE:
            patched = merge_patch_of(current, sent.value)
        else:
            patched = strategic_merge(current, sent.value, served.resource.schema)
            # Upstream's typed objects have no say in what kind they are.
            patched |= {"kind": served.id.kind, "apiVersion": served.id.api_version}
            return canonical(
                served, call, patched, options.validation, sent.duplicates, misfit=misfit
            )
        return canonical(served, call, patched, options.validation, sent.duplicates)

    return make
