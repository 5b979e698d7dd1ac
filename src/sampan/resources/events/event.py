"""Event of events.k8s.io/v1: the same stored objects as core/v1 events, with other field names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource
from sampan.resources import rules
from sampan.resources.events import shared
from sampan.resources.rules import Errors

_RENAMED = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)
_TO_CORE = dict(_RENAMED)
_FROM_CORE = {core: new for new, core in _RENAMED}

_UNCHANGING = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count",
    "reason", "type", "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip

_ABSENT = {
    "count": 0,
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "related": None,
}


def to_storage(event: Json) -> Json:
    """As core/v1 has it, with the fields that core always shows."""
    core = {_TO_CORE.get(field, field): value for field, value in event.items()}
    core |= {"apiVersion": "v1", "kind": "Event"}
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        core.setdefault(field, None)
    for field in ("reportingComponent", "reportingInstance"):
        core.setdefault(field, "")
    return core


def from_storage(core: Json) -> Json:
    event = {_FROM_CORE.get(field, field): value for field, value in core.items()}
    event |= {"apiVersion": "events.k8s.io/v1", "kind": "Event"}
    for field in ("reportingController", "reportingInstance", "note", "deprecatedCount"):
        if not event.get(field):
            event.pop(field, None)
    event.setdefault("regarding", {})
    event.setdefault("deprecatedSource", {})
    for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"):
        event.setdefault(field, None)
    return event


def defaults(obj: Json) -> None:
    """Fields that Go shows even when empty."""
    obj.setdefault("eventTime", None)
    obj.setdefault("regarding", {})
    obj.setdefault("deprecatedSource", {})
    obj.setdefault("deprecatedFirstTimestamp", None)
    obj.setdefault("deprecatedLastTimestamp", None)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    """Paths are those of the stored shape, as upstream's."""
    event = to_storage(new)
    errors = shared.legacy(event, "reportingController")
    if old is None:
        return errors + _series(event) + _create(event)
    before = to_storage(old)
    if event.get("series") != before.get("series"):
        errors += _series(event)
    for field in _UNCHANGING:
        path = "reportingController" if field == "reportingComponent" else field
        now, was = (each.get(field, _ABSENT.get(field, "")) for each in (event, before))
        errors += rules.immutable(path, now, was)
    return errors


def _series(event: Json) -> Errors:
    series = event.get("series")
    if series is None:
        return []
    errors: Errors = []
    if (series.get("count") or 0) < 2:
        errors += rules.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        errors += rules.required("series.lastObservedTime")
    return errors


def _create(event: Json) -> Errors:
    errors = [] if event.get("eventTime") else rules.required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        errors += rules.invalid("type", "", f"has invalid value: {event.get('type', '')}")
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(field):
            errors += rules.invalid(field, "", "needs to be unset")
    return errors


def _column(column: Column) -> Column:
    """A column of core's, for the other shape."""
    return replace(column, cell=lambda event, now: column.cell(to_storage(event), now))


def _regarding(field: str) -> Callable[[Json], str]:
    return lambda event: str((event.get("regarding") or {}).get(field, ""))


EVENT = Resource(
    id=kinds.EVENTS_V1,
    metadata_checks="changes",
    schema="io.k8s.api.events.v1.Event",
    singular="event",
    short=("ev",),
    defaults=defaults,
    validate=validate,
    columns=tuple(_column(column) for column in shared.COLUMNS),
    fields={
        **{
            f"regarding.{field}": _regarding(field)
            for field in (
                "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath",
            )
        },
        "reason": lambda event: str(event.get("reason", "")),
        "reportingController": lambda event: str(event.get("reportingController", "")),
        "type": lambda event: str(event.get("type", "")),
    },
    generation=False,
    create_on_update=True,
    storage=kinds.EVENTS,
    to_storage=to_storage,
    from_storage=from_storage,
)  # fmt: skip
