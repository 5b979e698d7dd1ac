"""Refusals that many have in common, in upstream's words."""

from __future__ import annotations

from sampan.api.errors import Conflict, MethodNotAllowed, NotFound, details_of
from sampan.api.meta import ResourceId

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def no_such_resource() -> NotFound:
    return NotFound("the server could not find the requested resource", details={})


def no_such_method() -> MethodNotAllowed:
    text = "the server does not allow this method on the requested resource"
    return MethodNotAllowed(text, details={})


def conflict(rid: ResourceId, name: str, why: str = MODIFIED) -> Conflict:
    text = f'Operation cannot be fulfilled on {rid.qualified} "{name}": {why}'
    return Conflict(text, details=details_of(rid, name))
