"""What a patch made, read again as the kind that it must still be."""

from __future__ import annotations

from sampan.api.errors import BadRequest
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.patch import undecodable
from sampan.apiserver.call import Call
from sampan.apiserver.served import Served


def canonical(served: Served, call: Call, patched: Json, validation: str) -> Json:
    """The patched object read again as its kind. Raises Invalid when it no longer is one."""
    try:
        decoded = served.decode(patched)
    except DecodeError as error:
        raise undecodable(patched, str(error)) from error
    if decoded.unknown and validation == "Strict":
        listed = ", ".join(decoded.complaints)
        raise undecodable(patched, f"strict decoding error: {listed}")
    if validation == "Warn":
        for text in decoded.complaints:
            call.warn(text)
    found = decoded.obj
    if patched.get("kind") != served.id.kind or patched.get("apiVersion") != served.id.api_version:
        raise BadRequest("the patched object has another kind or apiVersion than the resource")
    found["kind"], found["apiVersion"] = served.id.kind, served.id.api_version
    found.setdefault("metadata", {})
    return found
