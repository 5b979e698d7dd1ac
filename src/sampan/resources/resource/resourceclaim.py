"""ResourceClaim: devices that pods ask for, and which they got."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import METADATA_OF_STATUS, Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.resource import device
from sampan.resources.rules import Errors

MAX_RESERVED = 256


def defaults(obj: Json) -> None:
    device.default_claim(obj.setdefault("spec", {}))


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new.get("status") or {}, (old or {}).get("status") or {})
    spec = new.get("spec") or {}
    if old is None:
        return device.claim_spec("spec", spec)
    return rules.immutable("spec", spec, old.get("spec") or {})


def _status(status: Json, before: Json) -> Errors:
    errors: Errors = []
    allocation, reserved = status.get("allocation"), status.get("reservedFor") or ()
    if len(reserved) > MAX_RESERVED:
        errors += rules.too_many("status.reservedFor", len(reserved), MAX_RESERVED)
    seen: set[str] = set()
    for at, user in enumerate(reserved):
        path = f"status.reservedFor[{at}]"
        for field in ("resource", "name", "uid"):
            if not user.get(field):
                errors += rules.required(f"{path}.{field}")
        if user.get("uid", "") in seen:
            errors += rules.duplicate(f"{path}.uid", user.get("uid", ""))
        seen.add(user.get("uid", ""))
    if reserved and allocation is None:
        says = "may not be specified when `allocated` is not set"
        errors += rules.forbidden("status.reservedFor", says)
    if before.get("allocation") is not None and allocation is not None:
        errors += rules.immutable("status.allocation", allocation, before["allocation"])
    return errors


def state(obj: Json) -> str:
    """As upstream: words joined by a comma, in this order."""
    status, words = obj.get("status") or {}, []
    if obj["metadata"].get("deletionTimestamp"):
        words.append("deleted")
    if status.get("allocation") is not None:
        words.append("allocated")
    if status.get("reservedFor"):
        words.append("reserved")
    return (
        ",".join(words) if status.get("allocation") is not None else ",".join([*words, "pending"])
    )


RESOURCECLAIM = Resource(
    id=kinds.RESOURCECLAIMS,
    schema="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    metadata_checks="reversed",
    status_keeps=METADATA_OF_STATUS,
    defaults=defaults,
    validate=validate,
    columns=(cells.NAME, cells.column("State", state), cells.AGE),
    subresources=(Subresource("status", kinds.RESOURCECLAIMS),),
    generation=False,
    returns_deleted=True,
)
