"""PriorityClass: a name for a pod's importance."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
HIGHEST_OF_USERS = 1_000_000_000
_POLICIES = ["PreemptLowerPriority", "Never"]


def defaults(obj: Json) -> None:
    obj.setdefault("value", 0)
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """The generation is never counted."""
    if old is None:
        new["metadata"]["generation"] = 1


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    name, value = new["metadata"].get("name", ""), new.get("value", 0)
    if old is not None:
        return _update(new, old)
    errors: Errors = []
    if name.startswith("system-"):
        errors += _system(name, value)
    elif value > HIGHEST_OF_USERS:
        says = f"maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}"
        errors += rules.forbidden("value", says)
    policy = new.get("preemptionPolicy")
    return errors + rules.choice("preemptionPolicy", policy, _POLICIES)


def _system(name: str, value: int) -> Errors:
    """Only the server's own classes may be called so, with their own values."""
    if name not in SYSTEM:
        fault = f"{name} is not a known system priority class"
    elif value != SYSTEM[name]:
        fault = f"value of {name} PriorityClass must be {SYSTEM[name]}"
    else:
        return []
    says = (
        "priority class names with 'system-' prefix are reserved for system use only. "
        f"error: {fault}"
    )
    return rules.forbidden("metadata.name", says)


def _update(new: Json, old: Json) -> Errors:
    errors: Errors = []
    if new.get("value", 0) != old.get("value", 0):
        errors += rules.forbidden("value", "may not be changed in an update.")
    policy = new.get("preemptionPolicy")
    return errors + rules.immutable("preemptionPolicy", policy, old.get("preemptionPolicy"))


PRIORITYCLASS = Resource(
    id=kinds.PRIORITYCLASSES,
    schema="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    metadata_checks="changes",
    short=("pc",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Value", cells.field("value", default=0), type="integer"),
        cells.column("Global-Default", cells.field("globalDefault", default=False), type="boolean"),
        cells.AGE,
        cells.column("PreemptionPolicy", cells.field("preemptionPolicy")),
    ),
    generation=False,
)
