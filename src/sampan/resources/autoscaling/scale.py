"""Scale: the one shape in which every workload's number of replicas is read and set.

The API server asks `of` for the Scale of an object and `onto` to write a changed one back; the
paths are those of the built-in workloads, and a custom resource brings its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Json
from sampan.resources import labels, rules
from sampan.resources.rules import Errors


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what a Scale shows; `selector` is None where there is none, and is a
    text instead of a LabelSelector in custom resources.
    """

    replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] | None = ("spec", "selector")


WORKLOADS = ScalePaths()
_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def of(obj: Json, paths: ScalePaths = WORKLOADS) -> Json:
    replicas = _at(obj, paths.replicas) or 0
    status: Json = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _selector_text(_at(obj, paths.selector) if paths.selector else None)
    if selector:
        status["selector"] = selector
    meta = {key: obj["metadata"][key] for key in _META if key in obj["metadata"]}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def tells(obj: Json, paths: ScalePaths) -> bool:
    """Whether the object says at all how many it wants."""
    return _at(obj, paths.replicas) is not None


def onto(obj: Json, scale: Json, paths: ScalePaths = WORKLOADS) -> None:
    """Write the wanted number into the object."""
    holder = obj
    for step in paths.replicas[:-1]:
        holder = holder.setdefault(step, {})
    holder[paths.replicas[-1]] = (scale.get("spec") or {}).get("replicas") or 0


def validate(scale: Json) -> Errors:
    wanted = (scale.get("spec") or {}).get("replicas")
    return rules.nonnegative("spec.replicas", wanted)


def _selector_text(selector: Any) -> str:
    """A map of labels (ReplicationController), a LabelSelector, or text already."""
    if isinstance(selector, str):
        return selector
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return labels.query(selector)
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def _at(obj: Json, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value
