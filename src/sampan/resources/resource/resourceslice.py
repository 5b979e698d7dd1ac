"""ResourceSlice: devices that a driver offers, on one node or many."""

from __future__ import annotations

from typing import Any

from sampan.api import kinds, names
from sampan.api.errors import quoted
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.core.pod.scheduling import node_selector
from sampan.resources.resource import slicedevice
from sampan.resources.resource.device import driver_name, name_of, pool_name, set_of
from sampan.resources.rules import Errors

MAX_DEVICES = 128
MAX_ADVANCED_DEVICES = 64
"""Where a device has taints or consumes counters."""
MAX_COUNTER_SETS = 8
_PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
_PLACES += "required"
_ONE_TERM = "must have exactly one node selector term"


def defaults(obj: Json) -> None:
    """Lists of attribute values and mappings are behind gates that are off in this version."""
    for device in (obj.get("spec") or {}).get("devices") or ():
        device.pop("nodeAllocatableResourceMappings", None)
        for attribute in (device.get("attributes") or {}).values():
            for field in ("bools", "ints", "strings", "versions"):
                attribute.pop(field, None)


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """A taint says since when it is there: this write, as its manager's entry dates it."""
    meta = new["metadata"]
    times = [entry["time"] for entry in meta.get("managedFields") or () if entry.get("time")]
    now = max(times) if old is not None and times else meta.get("creationTimestamp")
    for device in (new.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", now)


def warnings(new: Json, old: Json | None) -> list[str]:
    driver = (new.get("spec") or {}).get("driver") or ""
    if driver == driver.lower() or (old and (old.get("spec") or {}).get("driver") == driver):
        return []
    says = f"driver names should be lowercase; {quoted(driver)} contains uppercase characters"
    return [f"spec.driver: {says}"]


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    before = (old or {}).get("spec") or {}
    errors = driver_name("spec.driver", spec.get("driver") or "")
    errors += _pool(spec.get("pool") or {})
    if old is not None:
        errors += _fixed(spec, before)
    errors += _place(spec)
    if spec.get("sharedCounters") and spec.get("devices"):
        errors += rules.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    errors += _devices(spec, {name_of(each): each for each in before.get("devices") or ()})
    return errors + set_of(
        "spec.sharedCounters", spec.get("sharedCounters"), slicedevice.counter_set,
        MAX_COUNTER_SETS, name_of,
    )  # fmt: skip


def _pool(pool: Json) -> Errors:
    errors = pool_name("spec.pool.name", pool.get("name") or "")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors += rules.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        says = "must be greater than or equal to zero"
        errors += rules.invalid("spec.pool.generation", generation, says)
    return errors


def _fixed(new: Json, old: Json) -> Errors:
    now, was = (((each.get("pool") or {}).get("name") or "") for each in (new, old))
    errors = rules.immutable("spec.pool.name", now, was)
    for field in ("driver", "nodeName"):
        errors += rules.immutable(f"spec.{field}", new.get(field), old.get(field))
    return errors


def _place(spec: Json) -> Errors:
    """Where the devices are: said in exactly one way."""
    errors: Errors = []
    given: list[str] = []
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name:
        given.append("`nodeName`")
        errors += rules.each("spec.nodeName", name, names.dns1123_subdomain(name))
    elif name is not None:
        says = "must be either unset or set to a non-empty string"
        errors += rules.invalid("spec.nodeName", name, says)
    if selector is not None:
        given.append("`nodeSelector`")
        terms = selector.get("nodeSelectorTerms")
        errors += node_selector("spec.nodeSelector", selector)
        if len(terms or ()) != 1:
            errors += rules.invalid("spec.nodeSelector.nodeSelectorTerms", terms, _ONE_TERM)
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field):
            given.append(f"`{field}`")
        elif spec.get(field) is not None:
            says = "must be either unset or set to true"
            errors += rules.invalid(f"spec.{field}", False, says)
    if not given:
        return errors + rules.required("spec", _PLACES)
    if len(given) > 1:
        says = f"{_PLACES}, but multiple fields are set"
        errors += rules.invalid("spec", "{" + ", ".join(given) + "}", says)
    return errors


def _devices(spec: Json, before: dict[str, Json]) -> Errors:
    devices = spec.get("devices") or ()
    advanced = any(each.get("taints") or each.get("consumesCounters") for each in devices)
    per_device = bool(spec.get("perDeviceNodeSelection"))

    def rule(path: str, value: Any) -> Errors:
        old = before.get(name_of(value))
        return slicedevice.device(path, value, old, per_device=per_device)

    most = MAX_ADVANCED_DEVICES if advanced else MAX_DEVICES
    return set_of("spec.devices", devices, rule, most, name_of)


RESOURCESLICE = Resource(
    id=kinds.RESOURCESLICES,
    schema="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    metadata_checks="changes",
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Node", cells.field("spec", "nodeName")),
        cells.column("Driver", cells.field("spec", "driver")),
        cells.column("Pool", cells.field("spec", "pool", "name")),
        cells.AGE,
    ),
    fields={
        "spec.nodeName": cells.field("spec", "nodeName"),
        "spec.driver": cells.field("spec", "driver"),
    },
    no_namespace_field=True,
    unknown_field="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    returns_deleted=True,
)
