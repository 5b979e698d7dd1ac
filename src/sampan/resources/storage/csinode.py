"""CSINode: which storage drivers a node has."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors
from sampan.resources.storage.csidriver import driver_name

NODE_ID_LIMIT = 256


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors, seen = rules.none(), set[str]()
    drivers = (new.get("spec") or {}).get("drivers") or ()
    for at, driver in enumerate(drivers):
        path, name = f"spec.drivers[{at}]", driver.get("name", "")
        errors += driver_name(f"{path}.name", name) + _driver(path, driver)
        if name in seen:
            errors += rules.duplicate(f"{path}.name", name)
        seen.add(name)
    if old is not None:
        errors += _unchanged(drivers, (old.get("spec") or {}).get("drivers") or ())
    return errors


def _driver(path: str, driver: Json) -> Errors:
    node = driver.get("nodeID", "")
    errors = [] if node else rules.required(f"{path}.nodeID")
    if len(node) > NODE_ID_LIMIT:
        says = f"must be {NODE_ID_LIMIT} characters or less"
        errors += rules.invalid(f"{path}.nodeID", node, says)
    count = (driver.get("allocatable") or {}).get("count")
    errors += rules.nonnegative(f"{path}.allocatable.count", count)
    keys = driver.get("topologyKeys") or ()
    for at, key in enumerate(keys):
        if not key:
            errors += rules.required(path)
        if key in keys[:at]:
            errors += rules.duplicate(path, key)
        errors += rules.each(path, key, names.qualified_name(key))
    return errors


def _unchanged(drivers: list[Json] | tuple[()], before: list[Json] | tuple[()]) -> Errors:
    """A driver that stays keeps its particulars; only the allocatable count may follow."""
    old = {driver.get("name"): driver for driver in before}
    errors: Errors = []
    for driver in drivers:
        was = old.get(driver.get("name"))
        if was is None:
            continue
        same = {k: v for k, v in driver.items() if k != "allocatable"}
        if same != {k: v for k, v in was.items() if k != "allocatable"}:
            errors += rules.invalid("spec.drivers", driver, rules.IMMUTABLE)
    return errors


CSINODE = Resource(
    id=kinds.CSINODES,
    schema="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    metadata_checks="whole",
    validate=validate,
    columns=(
        cells.NAME,
        cells.column(
            "Drivers", lambda obj: len((obj.get("spec") or {}).get("drivers") or ()), type="integer"
        ),
        cells.AGE,
    ),
    generation=False,
    unconditional_update=False,
    returns_deleted=True,
)
