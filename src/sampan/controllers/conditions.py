"""Status conditions of workloads: set without touching what did not change. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json


def find(conditions: Sequence[Json], kind: str) -> Json | None:
    return next((item for item in conditions if item.get("type") == kind), None)


def without(conditions: Sequence[Json], kind: str) -> list[Json]:
    return [item for item in conditions if item.get("type") != kind]


def put(conditions: Sequence[Json], new: Json) -> list[Json]:
    """The list with this condition. One of the same status and reason stays as it is; one of the
    same status keeps its transition time.
    """
    old = find(conditions, new["type"])
    if old is not None and old.get("status") == new["status"]:
        if old.get("reason") == new.get("reason"):
            return list(conditions)
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime")}
    return [*without(conditions, new["type"]), new]
