"""KubeSchedulerConfiguration: profiles, which plugins they have, and the weights of scores.

What of a profile cannot be honoured is refused with its name, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from sampan.api.meta import Json
from sampan.scheduler.decision import Profile
from sampan.scheduler.filters import FILTERS
from sampan.scheduler.scores import SCORES

T = TypeVar("T")

KIND = "KubeSchedulerConfiguration"
GROUP = "kubescheduler.config.k8s.io"
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_OTHERS = frozenset(
    (
        "SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder",
        "DynamicResources", "NodeDeclaredFeatures",
    )
)  # fmt: skip
"""Plugins that are always on here."""


class BadConfig(ValueError):
    """The file cannot be used; the message says where."""


def profiles(path: str) -> tuple[Profile, ...]:
    """The profiles of a file; the default one without a file."""
    if not path:
        return (Profile(),)
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            given = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise BadConfig(f"--config {path}: {error}") from error
    if not isinstance(given, dict) or given.get("kind") != KIND:
        raise BadConfig(f"--config {path}: no {KIND}")
    share = given.get("percentageOfNodesToScore") or 0
    found = given.get("profiles") or [{}]
    made = tuple(_profile(profile, share) for profile in found)
    if len({profile.name for profile in made}) < len(made):
        raise BadConfig(f"--config {path}: two profiles have the same schedulerName")
    return made


def _profile(given: Json, share: int) -> Profile:
    plugins = given.get("plugins") or {}
    filters = _without(FILTERS, plugins, ("multiPoint", "filter"))
    scores = _without(SCORES, plugins, ("multiPoint", "score"))
    for entry in _enabled(plugins, "filter"):
        if _known(entry["name"]) in FILTERS:
            filters[entry["name"]] = FILTERS[entry["name"]]
    for entry in _enabled(plugins, "score"):
        if _known(entry["name"]) in SCORES:
            weight, score = SCORES[entry["name"]]
            scores[entry["name"]] = (entry.get("weight") or weight, score)
    ordered = {name: check for name, check in FILTERS.items() if name in filters}
    share = given.get("percentageOfNodesToScore") or share
    return Profile(given.get("schedulerName") or "default-scheduler", ordered, scores, share)


def _entries(plugins: Json, point: str, state: str) -> list[Json]:
    found: list[Json] = (plugins.get(point) or {}).get(state) or []
    return found


def _enabled(plugins: Json, point: str) -> list[Json]:
    return [*_entries(plugins, "multiPoint", "enabled"), *_entries(plugins, point, "enabled")]


def _without(table: Mapping[str, T], plugins: Json, points: tuple[str, ...]) -> dict[str, T]:
    """The table without what is disabled; `*` is everything."""
    gone = {entry["name"] for point in points for entry in _entries(plugins, point, "disabled")}
    for name in gone - {"*"}:
        _known(name)
    return {name: value for name, value in table.items() if not gone & {name, "*"}}


def _known(name: Any) -> str:
    if name not in FILTERS and name not in SCORES and name not in _OTHERS:
        raise BadConfig(f"there is no plugin {name!r}")
    return str(name)


def seconds(text: str) -> float:
    """`15s`, `1m30s`. Raises BadConfig."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadConfig(f"{text!r} is no duration, such as 15s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
