"""KubeSchedulerConfiguration: profiles, which plugins they have, and the weights of scores.

What of a profile cannot be honoured is refused with its name, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from sampan.api.meta import Json
from sampan.scheduler import filters
from sampan.scheduler import scores as scored
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
_KNOWN = _OTHERS | FILTERS.keys() | SCORES.keys() | filters.BY_ARGUMENTS.keys()


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
    args = {entry["name"]: entry.get("args") or {} for entry in given.get("pluginConfig") or ()}
    chosen = _without(FILTERS, plugins, ("multiPoint", "filter"))
    scores = _without(SCORES, plugins, ("multiPoint", "score"))
    for entry in _enabled(plugins, "filter"):
        name = _known(entry["name"])
        if name in filters.BY_ARGUMENTS:
            chosen[name] = filters.BY_ARGUMENTS[name](args.get(name, {}))
        elif name in FILTERS:
            chosen[name] = FILTERS[name]
    for entry in _enabled(plugins, "score"):
        name = _known(entry["name"])
        weight, score = SCORES.get(name, (1, None))
        if name in scored.BY_ARGUMENTS:
            score = scored.BY_ARGUMENTS[name](args.get(name, {}))
        if score is not None:
            scores[name] = (entry.get("weight") or weight, score)
    order = (*FILTERS, *filters.BY_ARGUMENTS)
    ordered = {name: chosen[name] for name in order if name in chosen}
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
    if name not in _KNOWN:
        raise BadConfig(f"there is no plugin {name!r}")
    return str(name)


def seconds(text: str) -> float:
    """`15s`, `1m30s`. Raises BadConfig."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadConfig(f"{text!r} is no duration, such as 15s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
