"""The Event of core/v1; events.k8s.io shows the same objects in another shape."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources.events.shared import COLUMNS, legacy
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    return legacy(new, "reportingController")


def _about(field: str) -> Callable[[Json], str]:
    return lambda event: str((event.get("involvedObject") or {}).get(field) or "")


def _own(field: str) -> Callable[[Json], str]:
    return lambda event: str(event.get(field) or "")


def _source(event: Json) -> str:
    source = (event.get("source") or {}).get("component")
    return str(source or event.get("reportingComponent") or "")


EVENT = Resource(
    id=kinds.EVENTS,
    metadata_checks="none",
    name_rule=names.name_is_path_segment,
    free_finalizers=True,
    schema="io.k8s.api.core.v1.Event",
    singular="event",
    short=("ev",),
    validate=validate,
    columns=COLUMNS,
    fields={
        **{
            f"involvedObject.{field}": _about(field)
            for field in (
                "kind",
                "namespace",
                "name",
                "uid",
                "apiVersion",
                "resourceVersion",
                "fieldPath",
            )
        },
        **{field: _own(field) for field in ("reason", "reportingComponent", "type")},
        "source": _source,
    },
    generation=False,
    create_on_update=True,
)
