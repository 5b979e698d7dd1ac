"""The Binding: how the scheduler gives a pod its node. It is never stored."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources.rules import Errors, not_supported, required


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    target = new.get("target") or {}
    kind = target.get("kind") or ""
    errors: Errors = []
    if kind not in ("", "Node"):
        errors += not_supported("target.kind", kind, ("Node", "<empty>"))
    if not target.get("name"):
        errors += required("target.name")
    return errors


BINDING = Resource(
    id=kinds.BINDINGS,
    schema="io.k8s.api.core.v1.Binding",
    singular="binding",
    verbs=("create",),
    validate=validate,
    generation=False,
)
