"""KubeSchedulerConfiguration: profiles, which plugins they have, with which weights and arguments.

What of a file cannot be honoured is refused with its name, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sampan.api.meta import Json
from sampan.scheduler import filters
from sampan.scheduler import scores as scored
from sampan.scheduler.base import Filter, Score
from sampan.scheduler.decision import Profile
from sampan.scheduler.filters import FILTERS
from sampan.scheduler.scores import SCORES

T = TypeVar("T")

KIND = "KubeSchedulerConfiguration"
GROUP = "kubescheduler.config.k8s.io"
_OTHERS = frozenset(
    (
        "SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder",
        "NodeDeclaredFeatures",
    )
)  # fmt: skip
"""Plugins that are always on here."""
_KNOWN = _OTHERS | FILTERS.keys() | SCORES.keys() | filters.BY_ARGUMENTS.keys()
_ARGUMENTS: Mapping[str, Sequence[str]] = {
    "DefaultPreemption": ("minCandidateNodesPercentage", "minCandidateNodesAbsolute"),
    "InterPodAffinity": ("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"),
    "NodeAffinity": ("addedAffinity",),
    "NodeLabel": (
        "presentLabels", "absentLabels", "presentLabelsPreference", "absentLabelsPreference",
    ),
    "NodeResourcesBalancedAllocation": ("resources",),
    "NodeResourcesFit": ("ignoredResources", "ignoredResourceGroups", "scoringStrategy"),
    "PodTopologySpread": ("defaultConstraints", "defaultingType"),
    "ServiceAffinity": ("affinityLabels", "antiAffinityLabelsPreference"),
    "VolumeBinding": ("bindTimeoutSeconds",),
}  # fmt: skip
_STRATEGIES = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")


class BadConfig(ValueError):
    """The file cannot be used; the message says where."""


def profiles(path: str) -> tuple[Profile, ...]:
    """The profiles of a file; the default one without a file. Raises BadConfig."""
    return profiles_of(read(path), path)


def read(path: str) -> Json:
    """The configuration of a file; an empty one without a file. Raises BadConfig."""
    if not path:
        return {}
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            given = yaml.safe_load(file)
    except OSError as error:
        raise BadConfig(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"--config {path}: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict) or given.get("kind") != KIND:
        raise BadConfig(f"--config {path}: no {KIND}")
    group, _, version = str(given.get("apiVersion") or f"{GROUP}/v1").partition("/")
    if (group, version) != (GROUP, "v1"):
        text = f"apiVersion {given['apiVersion']!r}; write {GROUP}/v1"
        raise BadConfig(f"--config {path}: {text}")
    return given


def profiles_of(given: Json, path: str = "") -> tuple[Profile, ...]:
    """Raises BadConfig."""
    if given.get("extenders"):
        raise BadConfig(f"--config {path}: extenders are not supported; leave the list out")
    share = given.get("percentageOfNodesToScore") or 0
    found = given.get("profiles") or [{}]
    made = tuple(_profile(profile, share) for profile in found)
    if len({profile.name for profile in made}) < len(made):
        raise BadConfig(f"--config {path}: two profiles have the same schedulerName")
    return made


def _profile(given: Json, share: int) -> Profile:
    plugins = given.get("plugins") or {}
    args = _arguments(given)
    preemption = args.get("DefaultPreemption", {})
    return Profile(
        given.get("schedulerName") or "default-scheduler",
        _filters(plugins, args),
        _scores(plugins, args),
        given.get("percentageOfNodesToScore") or share,
        int(preemption.get("minCandidateNodesPercentage", 10)),
        int(preemption.get("minCandidateNodesAbsolute", 100)),
        float(args.get("VolumeBinding", {}).get("bindTimeoutSeconds", 600)),
    )


def _filters(plugins: Json, args: Mapping[str, Json]) -> dict[str, Filter]:
    chosen = set(_without(FILTERS, plugins, ("multiPoint", "filter")))
    chosen |= {_known(entry["name"]) for entry in _enabled(plugins, "filter")}
    order = dict.fromkeys((*FILTERS, *filters.BY_ARGUMENTS))
    found: dict[str, Filter] = {}
    for name in order:
        make = filters.BY_ARGUMENTS.get(name)
        if name in chosen and make is not None and (name in args or name not in FILTERS):
            found[name] = make(args.get(name, {}))
        elif name in chosen:
            found[name] = FILTERS[name]
    return found


def _scores(plugins: Json, args: Mapping[str, Json]) -> dict[str, tuple[int, Score]]:
    weights = {
        name: weight
        for name, (weight, _) in _without(SCORES, plugins, ("multiPoint", "score")).items()
    }
    for entry in _enabled(plugins, "score"):
        name = _known(entry["name"])
        weights[name] = int(entry.get("weight") or SCORES.get(name, (1, None))[0])
    found: dict[str, tuple[int, Score]] = {}
    for name, weight in weights.items():
        make = scored.BY_ARGUMENTS.get(name)
        if make is not None and (name in args or name not in SCORES):
            found[name] = (weight, make(args.get(name, {})))
        elif name in SCORES:
            found[name] = (weight, SCORES[name][1])
    return found


def _arguments(given: Json) -> dict[str, Json]:
    """The arguments of each plugin. Raises BadConfig for what has no meaning here."""
    found: dict[str, Json] = {}
    for entry in given.get("pluginConfig") or ():
        name = _known(entry.get("name"))
        if name in found:
            raise BadConfig(f"pluginConfig has {name} twice")
        args = {
            key: value
            for key, value in (entry.get("args") or {}).items()
            if key not in ("kind", "apiVersion")
        }
        for key in args:
            if key not in _ARGUMENTS.get(name, ()):
                raise BadConfig(f"pluginConfig: {name} has no argument {key!r} here")
        found[name] = args
    _check_strategy(found.get("NodeResourcesFit", {}).get("scoringStrategy") or {})
    return found


def _check_strategy(strategy: Json) -> None:
    kind = strategy.get("type") or "LeastAllocated"
    if kind not in _STRATEGIES:
        raise BadConfig(f"scoringStrategy.type {kind!r}; one of {', '.join(_STRATEGIES)}")
    shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
    used = [point.get("utilization", 0) for point in shape]
    if kind == "RequestedToCapacityRatio" and (not used or used != sorted(set(used))):
        raise BadConfig("requestedToCapacityRatio.shape: utilization must rise from point to point")


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
