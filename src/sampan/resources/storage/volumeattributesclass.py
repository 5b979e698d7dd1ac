"""VolumeAttributesClass: attributes of volumes that may be changed later."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors
from sampan.resources.storage.storageclass import parameters, provisioner

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors: Errors = []
    if old is not None:
        for field in ("driverName", "parameters"):
            if new.get(field) != old.get(field):
                errors += rules.forbidden(field, f"updates to {field} are forbidden.")
        errors.append(rules.METADATA)
    errors += provisioner("driverName", new.get("driverName", ""))
    return errors + parameters("parameters", new.get("parameters") or {}, needed=True)


VOLUMEATTRIBUTESCLASS = Resource(
    id=kinds.VOLUMEATTRIBUTESCLASSES,
    schema="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    short=("vac",),
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("DriverName", cells.field("driverName")),
        cells.AGE,
    ),
    generation=False,
    returns_deleted=True,
)
