"""Files of one volume that are laid over each other: a warning, as no rule forbids it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sampan.api.errors import quoted
from sampan.api.meta import Json

Place = tuple[str, str]
"""A path, and what brings it."""


def overlaps(volumes: Sequence[Json]) -> Iterator[str]:
    for volume in volumes:
        for kind, shown, field in _SOURCES:
            source = volume.get(kind)
            if source is not None:
                title = f"{shown} {quoted(source.get(field) or '')}" if field else shown
                yield from _told(volume, title, [(p, "") for p in _paths(source)])
        projected = volume.get("projected")
        if projected is not None:
            yield from _projected(volume, projected.get("sources") or ())


_SOURCES = (
    ("configMap", "ConfigMap", "name"),
    ("secret", "Secret", "secretName"),
    ("downwardAPI", "DownwardAPI", ""),
)


def _projected(volume: Json, sources: Sequence[Json]) -> Iterator[str]:
    places: list[Place] = []
    for source in sources:
        if not source:
            name = quoted(volume.get("name") or "")
            yield f"volume {name} (Projected) has no sources provided"
        more = _places(source)
        yield from _told(volume, "Projected", more, places)
        places += more


def _places(source: Json) -> list[Place]:
    """Of the first kind that the source has."""
    for kind, shown in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if (source.get(kind) or {}).get("items"):
            title = f"{shown} {quoted(source[kind].get('name') or '')}"
            return [(path, title) for path in _paths(source[kind])]
    if (source.get("downwardAPI") or {}).get("items"):
        return [(path, "DownwardAPI") for path in _paths(source["downwardAPI"])]
    if (token := source.get("serviceAccountToken")) is not None:
        return [((token.get("path") or "").rstrip("/"), "ServiceAccountToken")]
    return []


def _paths(source: Json) -> list[str]:
    return [(item.get("path") or "").rstrip("/") for item in source.get("items") or ()]


def _told(
    volume: Json, title: str, places: Sequence[Place], before: Sequence[Place] = ()
) -> Iterator[str]:
    seen = list(before)
    for place in places:
        for other in seen:
            if place[0] and other[0] and _clash(place[0], other[0]):
                name = quoted(volume.get("name") or "")
                pair = f"{_shown(place)} with {_shown(other)}"
                yield f"volume {name} ({title}): overlapping paths: {pair}"
        seen.append(place)


def _clash(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _shown(place: Place) -> str:
    path, origin = place
    return f"{quoted(path)} ({origin})" if origin else quoted(path)
