"""ResourceClaimTemplate: from which each pod gets a claim of its own."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.core.claim_spec import template_metadata
from sampan.resources.resource import device
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("metadata", {})
    device.default_claim(spec.setdefault("spec", {}))


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    errors = template_metadata("spec.metadata", spec.get("metadata") or {})
    errors += device.claim_spec("spec.spec", spec.get("spec") or {})
    if old is None:
        return errors
    return [*errors, rules.METADATA, *rules.immutable("spec", spec, old.get("spec") or {})]


RESOURCECLAIMTEMPLATE = Resource(
    id=kinds.RESOURCECLAIMTEMPLATES,
    schema="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    metadata_checks="reversed",
    defaults=defaults,
    validate=validate,
    columns=(cells.NAME, cells.AGE),
    generation=False,
    returns_deleted=True,
)
