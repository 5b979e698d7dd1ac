"""ResourceSlice: devices that a driver offers, on one node or many."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

MAX_DEVICES = 128
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    pool = spec.get("pool") or {}
    errors = rules.named("spec.driver", spec.get("driver"), names.dns1123_subdomain)
    errors += rules.named("spec.pool.name", pool.get("name"), _pool_name)
    errors += rules.nonnegative("spec.pool.generation", pool.get("generation"))
    if pool.get("resourceSliceCount", 0) <= 0:
        count = pool.get("resourceSliceCount", 0)
        errors += rules.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    given = [place for place in _PLACES if spec.get(place)]
    if len(given) != 1:
        says = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` "
        says += "is required"
        wrong = rules.invalid("spec", ", ".join(given), says)
        errors += wrong if given else rules.required("spec", says)
    errors += _devices(spec.get("devices") or ())
    if old is not None:
        before = old.get("spec") or {}
        for field in ("nodeName", "driver"):
            errors += rules.immutable(f"spec.{field}", spec.get(field), before.get(field))
        was = (before.get("pool") or {}).get("name")
        errors += rules.immutable("spec.pool.name", pool.get("name"), was)
    return errors


def _pool_name(name: str) -> list[str]:
    return [fault for part in name.split("/") for fault in names.dns1123_subdomain(part)]


def _devices(devices: list[Json] | tuple[()]) -> Errors:
    if len(devices) > MAX_DEVICES:
        return rules.too_many("spec.devices", len(devices), MAX_DEVICES)
    errors, seen = rules.none(), set[str]()
    for at, device in enumerate(devices):
        path, name = f"spec.devices[{at}].name", device.get("name", "")
        errors += rules.named(path, name, names.dns1123_label)
        if name in seen:
            errors += rules.duplicate(path, name)
        seen.add(name)
    return errors


RESOURCESLICE = Resource(
    id=kinds.RESOURCESLICES,
    schema="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Node", cells.field("spec", "nodeName", default=cells.UNSET)),
        cells.column("Driver", cells.field("spec", "driver")),
        cells.column("Pool", cells.field("spec", "pool", "name")),
        cells.AGE,
    ),
    fields={
        "spec.nodeName": cells.field("spec", "nodeName"),
        "spec.driver": cells.field("spec", "driver"),
    },
)
