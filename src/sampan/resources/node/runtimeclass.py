"""RuntimeClass: which container runtime runs a pod, and what that costs."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.core.pod import requirements
from sampan.resources.core.pod.scheduling import validate_tolerations
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    handler = new.get("handler", "")
    errors = rules.named("handler", handler, names.dns1123_label)
    fixed = (new.get("overhead") or {}).get("podFixed")
    if fixed:
        errors += requirements.validate_requirements("overhead", {"limits": fixed}, frozenset())
    errors += _scheduling(new.get("scheduling") or {})
    if old is not None:
        errors += rules.immutable("handler", handler, old.get("handler", ""))
    return errors


def _scheduling(scheduling: Json) -> Errors:
    path, tolerations = "scheduling.tolerations", scheduling.get("tolerations") or ()
    errors = rules.labels("scheduling.nodeSelector", scheduling.get("nodeSelector"))
    errors += validate_tolerations(path, tolerations)
    for at, toleration in enumerate(tolerations):
        if toleration in tolerations[:at]:
            errors += rules.duplicate(f"{path}[{at}]", toleration)
    return errors


RUNTIMECLASS = Resource(
    id=kinds.RUNTIMECLASSES,
    schema="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    validate=validate,
    columns=(cells.NAME, cells.column("Handler", cells.field("handler")), cells.AGE),
    generation=False,
    free_finalizers=True,
    create_on_update=True,
    unconditional_update=False,
)
