"""The ComponentStatus: an early way to ask how the control plane is; made anew for every answer."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells


def _healthy(obj: Json) -> Json:
    conditions = obj.get("conditions") or ()
    return next((each for each in conditions if each.get("type") == "Healthy"), {})


def _status(obj: Json) -> str:
    condition = _healthy(obj)
    if not condition:
        return "Unknown"
    return "Healthy" if condition.get("status") == "True" else "Unhealthy"


COMPONENTSTATUS = Resource(
    id=kinds.COMPONENTSTATUSES,
    schema="io.k8s.api.core.v1.ComponentStatus",
    singular="componentstatus",
    short=("cs",),
    verbs=("get", "list"),
    columns=(
        cells.NAME,
        cells.column("Status", _status),
        cells.column("Message", lambda obj: _healthy(obj).get("message") or ""),
        cells.column("Error", lambda obj: _healthy(obj).get("error") or ""),
    ),
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    generation=False,
)
