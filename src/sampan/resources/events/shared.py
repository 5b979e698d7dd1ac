"""What the two APIs for events share, on the shape of core/v1, in which events are stored."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.api.resource import Column
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

SHORT_LIMIT = 128
NOTE_LIMIT = 1024


def legacy(event: Json, controller_field: str) -> Errors:
    """The rules that both APIs have; `controller_field` is how the asked one calls it."""
    about = (event.get("involvedObject") or {}).get("namespace", "")
    namespace = event["metadata"].get("namespace", "")
    if event.get("eventTime"):
        errors = _new_style(event, controller_field)
        mismatch = not about and namespace not in ("default", "kube-system")
    else:
        errors = rules.none()
        mismatch = namespace not in (about, "") if about else namespace not in ("", "default")
        mismatch = mismatch or bool(about and not namespace)
    if mismatch:
        says = "does not match event.namespace"
        errors = rules.invalid("involvedObject.namespace", about, says) + errors
    return errors + rules.each("namespace", namespace, names.dns1123_subdomain(namespace))


def _new_style(event: Json, controller_field: str) -> Errors:
    """Events with an `eventTime` must say who reports what."""
    controller = event.get("reportingComponent", "")
    errors = [] if controller else rules.required(controller_field)
    errors += rules.each(controller_field, controller, names.qualified_name(controller))
    for field in ("reportingInstance", "action", "reason"):
        value = event.get(field, "")
        errors += [] if value else rules.required(field)
        errors += _at_most(field, value, SHORT_LIMIT)
    return errors + _at_most("message", event.get("message", ""), NOTE_LIMIT)


def _at_most(path: str, value: str, most: int) -> Errors:
    if len(value.encode()) <= most:
        return []
    return rules.invalid(path, "", f"can have at most {most} characters")


def _first_seen(event: Json, now: float) -> str:
    return cells.since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _last_seen(event: Json, now: float) -> str:
    series = event.get("series")
    if series:
        return cells.since(series.get("lastObservedTime"), now)
    last = event.get("lastTimestamp")
    return cells.since(last, now) if last else _first_seen(event, now)


def _count(event: Json) -> int:
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or 1)


def _object(event: Json) -> str:
    about = event.get("involvedObject") or {}
    kind, name = about.get("kind", "").lower(), about.get("name")
    return f"{kind}/{name}" if name else kind


def _source(event: Json) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    instance = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else component


COLUMNS: tuple[Column, ...] = (
    Column("Last Seen", _last_seen),
    cells.column("Type", cells.field("type")),
    cells.column("Reason", cells.field("reason")),
    cells.column("Object", _object),
    cells.column("Subobject", cells.field("involvedObject", "fieldPath"), priority=1),
    cells.column("Source", _source, priority=1),
    cells.column("Message", lambda event: event.get("message", "").strip()),
    Column("First Seen", _first_seen, priority=1),
    cells.column("Count", _count, priority=1),
    Column("Name", cells.name, format="name", priority=1),
)
