"""What a patch made, read again as the kind that it must still be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sampan.api.errors import Invalid
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.patch import undecodable
from sampan.apiserver.call import Call
from sampan.apiserver.reading import other_kind
from sampan.apiserver.registry.metadata import check_namespace
from sampan.apiserver.served import Served


def canonical(
    served: Served,
    call: Call,
    patched: Json,
    validation: str,
    complaints: Sequence[str] = (),
    misfit: Callable[[str], Invalid] | None = None,
) -> Json:
    """The patched object read again as its kind. Raises Invalid when it no longer is one.

    `complaints` are those about the patch itself; `misfit` makes the refusal where it is not the
    patched object that is shown.
    """
    refused = misfit or partial(undecodable, patched)
    _check_kind(served, patched)
    try:
        decoded = served.decode(patched)
    except DecodeError as error:
        raise refused(str(error)) from error
    found = [*complaints, *decoded.complaints]
    if found and validation == "Strict":
        raise refused(f"strict decoding error: {', '.join(found)}")
    if validation == "Warn":
        for text in found:
            call.warn(text)
    obj = decoded.obj
    obj["kind"], obj["apiVersion"] = served.id.kind, served.id.api_version
    obj.setdefault("metadata", {})
    check_namespace(served, obj, call.info.namespace)
    return obj


def _check_kind(served: Served, patched: Json) -> None:
    """A kind that is missing is the resource's; another is none. Raises Invalid."""
    rid = served.id
    kind, version = patched.get("kind") or rid.kind, patched.get("apiVersion") or rid.api_version
    if not isinstance(kind, str) or not isinstance(version, str):
        return
    if version != rid.api_version:
        raise undecodable(patched, f'no kind "{kind}" is registered for version "{version}"')
    if kind != rid.kind and served.custom:
        raise other_kind(patched, rid)
    if kind != rid.kind:
        package = rid.group.partition(".")[0] or "core"
        text = f"converting ({rid.version}.{kind}) to ({package}.{rid.kind}): unknown conversion"
        raise undecodable(patched, text)
