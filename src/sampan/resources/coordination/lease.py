"""Lease: who holds a lock, and until when; also a node's heartbeat."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    """Coordinated elections are behind a feature gate that is off in this version."""
    for field in ("strategy", "preferredHolder"):
        (obj.get("spec") or {}).pop(field, None)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec, errors = new.get("spec") or {}, rules.none()
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        errors += rules.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    transitions = spec.get("leaseTransitions")
    errors += rules.nonnegative("spec.leaseTransitions", transitions)
    return errors


LEASE = Resource(
    id=kinds.LEASES,
    schema="io.k8s.api.coordination.v1.Lease",
    free_finalizers=True,
    singular="lease",
    metadata_checks="changes",
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Holder", cells.field("spec", "holderIdentity")),
        cells.AGE,
    ),
    generation=False,
    create_on_update=True,
    unconditional_update=False,
)
