"""DeviceClass: a kind of device that claims can name."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells
from sampan.resources.resource import device
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    errors = device.selectors("spec.selectors", spec.get("selectors") or ())
    return errors + device.configuration("spec.config", spec.get("config") or ())


DEVICECLASS = Resource(
    id=kinds.DEVICECLASSES,
    schema="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    validate=validate,
    columns=(cells.NAME, cells.AGE),
)
