"""CSIStorageCapacity: how much a driver still has, where."""

from __future__ import annotations

from sampan.api import kinds, names, quantity
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    storage = new.get("storageClassName", "")
    errors = rules.label_selector("nodeTopology", new.get("nodeTopology"))
    errors += rules.each("storageClassName", storage, names.dns1123_subdomain(storage))
    amount = new.get("capacity")
    if amount is not None and quantity.parse_json(amount) < quantity.parse("0"):
        errors += rules.invalid("capacity", amount, "must be greater than or equal to 0")
    if old is not None:
        errors.append(rules.METADATA)
        for field in ("nodeTopology", "storageClassName"):
            errors += rules.immutable(field, new.get(field), old.get(field))
    return errors


CSISTORAGECAPACITY = Resource(
    id=kinds.CSISTORAGECAPACITIES,
    schema="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    metadata_checks="reversed",
    validate=validate,
    columns=(cells.NAME, cells.CREATED_AT),
    generation=False,
    unconditional_update=False,
)
