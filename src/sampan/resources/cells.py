"""Cells and columns that the tables of many kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sampan.api.meta import Json
from sampan.api.resource import Column

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

Value = Callable[[Json], Any]
"""What a cell shows that does not look at the clock."""


def seconds_of(timestamp: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def since(timestamp: str | None, now: float) -> str:
    """How long ago that was, `<unknown>` for never."""
    return human_duration(now - seconds_of(timestamp)) if timestamp else UNKNOWN


def human_duration(seconds: float) -> str:
    """Two units at most, and only one once the second no longer tells much."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole >= -1 else "<invalid>"
    for below, unit, small_unit in _DURATIONS:
        if whole < below:
            (size, letter), (small, small_letter) = unit, small_unit
            rest = (whole % size) // small if small else 0
            return f"{whole // size}{letter}" + (f"{rest}{small_letter}" if rest else "")
    return f"{whole // 31536000}y"


_SECOND, _MINUTE, _HOUR, _DAY, _YEAR = (
    (1, "s"), (60, "m"), (3600, "h"), (86400, "d"), (31536000, "y"),
)  # fmt: skip
_ALONE = (0, "")
_DURATIONS = (
    (120, _SECOND, _ALONE),
    (600, _MINUTE, _SECOND),
    (10800, _MINUTE, _ALONE),
    (28800, _HOUR, _MINUTE),
    (172800, _HOUR, _ALONE),
    (691200, _DAY, _HOUR),
    (63072000, _DAY, _ALONE),
    (252288000, _YEAR, _DAY),
)
"""Below so many seconds: in this unit, and the rest in that."""


def age(obj: Json, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Json, now: float) -> str:
    return str(obj["metadata"].get("name", ""))


def created(obj: Json, now: float) -> str:
    """For columns of type `date`, where the client works out the age."""
    return str(obj["metadata"].get("creationTimestamp", ""))


def column(title: str, cell: Value, type: str = "string", **more: Any) -> Column:
    """A column that does not look at the clock."""
    return Column(title, lambda obj, now: cell(obj), type=type, **more)


def field(*path: str, default: Any = "") -> Value:
    """The value at a path; `default` where it is missing."""

    def cell(obj: Json) -> Any:
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def joined(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values)


def pod_containers(pod_spec: Json) -> str:
    return joined(container["name"] for container in pod_spec.get("containers") or ())


def pod_images(pod_spec: Json) -> str:
    return joined(container.get("image", "") for container in pod_spec.get("containers") or ())


def truth(value: bool | None) -> str:
    return UNSET if value is None else str(value)


NAME = Column("Name", name, format="name")
AGE = Column("Age", age)
CREATED_AT = Column("Created At", created, type="date")
AGE_DATE = Column("Age", age, type="date")
"""Custom kinds without columns of their own show their age as a date column."""
