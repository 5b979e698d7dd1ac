"""Refusals that many have in common, in upstream's words."""

from __future__ import annotations

from sampan.api.errors import Conflict, MethodNotAllowed, NotFound, details_of
from sampan.api.meta import Json, ResourceId

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def no_such_resource() -> NotFound:
    return NotFound("the server could not find the requested resource", details={})


def no_such_method() -> MethodNotAllowed:
    text = "the server does not allow this method on the requested resource"
    return MethodNotAllowed(text, details={})


def unsupported(rid: ResourceId, verb: str) -> MethodNotAllowed:
    """What the server of custom resources says."""
    text = f'{verb} is not supported on resources of kind "{rid.qualified}"'
    return MethodNotAllowed(text, details={"group": rid.group, "kind": rid.plural})


def conflict(rid: ResourceId, name: str, why: str = MODIFIED) -> Conflict:
    text = f'Operation cannot be fulfilled on {rid.qualified} "{name}": {why}'
    return Conflict(text, details=details_of(rid, name))


def other_object(rid: ResourceId, obj: Json, said: str, word: str = "UID") -> Conflict:
    """The stored object is not the one that the request names, by its UID or ResourceVersion."""
    meta = obj["metadata"]
    place = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
    held = meta.get("uid" if word == "UID" else "resourceVersion", "")
    return conflict(
        rid,
        meta["name"],
        f"StorageError: invalid object, Code: 4, Key: /registry/{rid.plural}/{place}, "
        f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {word} in precondition: "
        f"{said}, {word} in object meta: {held}",
    )
