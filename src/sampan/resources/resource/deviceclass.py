"""DeviceClass: a kind of device that claims can name."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, resource_names, rules
from sampan.resources.resource import device
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    errors = device.selectors("spec.selectors", spec.get("selectors"))
    errors += device.each_of(
        "spec.config", spec.get("config"), device.configuration, device.MAX_CONFIG
    )
    name = spec.get("extendedResourceName")
    if name is not None and not resource_names.is_extended(name):
        says = "must be a valid extended resource name"
        errors += rules.invalid("spec.extendedResourceName", name, says)
    return errors


DEVICECLASS = Resource(
    id=kinds.DEVICECLASSES,
    schema="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    metadata_checks="reversed",
    validate=validate,
    name_rule=names.long_name,
    columns=(cells.NAME, cells.AGE),
    returns_deleted=True,
)
