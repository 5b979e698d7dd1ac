"""Paths of keys into objects, for the scale subresource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Json


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a kind keeps the replicas it wants, those it has, and the selector for its pods."""

    wanted: tuple[str, ...] = ("spec", "replicas")
    actual: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


def get(obj: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def put(obj: Json, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        obj = obj.setdefault(key, {})
    obj[path[-1]] = value
