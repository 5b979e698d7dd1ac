"""PATCH: four kinds of patches, all of them one change of one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.body import read_json
from sampan.api.errors import BadRequest, UnsupportedMediaType
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.patch import decoding_error, json_patch, merge_patch_of
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
    if media not in (JSON_PATCH, MERGE, STRATEGIC, APPLY):
        raise UnsupportedMediaType("415: Unsupported Media Type", details={})
    if media == STRATEGIC and served.custom:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE}, {APPLY}"
        )
    options = write_options(call.query, "PatchOptions", apply=media == APPLY)
    check_size(call.request.body)
    if media == APPLY:
        return await apply(served, call, parts, options)
    sent = read_patch(call.request.body, plain=media == STRATEGIC)
    change = Change(
        call.info.name,
        changer(served, call, media, sent, options),
        call.info.subresource,
        retry=not names_revision(sent),
    )
    done = await registry.update(parts, served, call, change, options)
    return written(served, call, done, 200)


def read_patch(data: bytes, *, plain: bool = False) -> Any:
    """The patch; upstream says what is wrong with a strategic one without an introduction."""
    try:
        return read_json(data, duplicates=False).value
    except DecodeError as error:
        raise BadRequest(str(error)) if plain else decoding_error(str(error)) from error


def names_revision(sent: Any) -> bool:
    meta = sent.get("metadata") if isinstance(sent, dict) else None
    return isinstance(meta, dict) and bool(meta.get("resourceVersion"))


def changer(
    served: Served, call: Call, media: str, sent: Any, options: WriteOptions
) -> Callable[[Json], Json]:
    """The function from the stored object to the patched one, in canonical form."""

    def make(current: Json) -> Json:
        if media == JSON_PATCH:
            patched = json_patch(current, sent)
        elif media == MERGE:
            patched = merge_patch_of(current, sent)
        else:
            patched = strategic_merge(current, sent, served.resource.schema)
        return canonical(served, call, patched, options.validation)

    return make
