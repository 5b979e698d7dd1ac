"""Volumes made of API objects: keys as files, the downward API, and several of them projected."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.resources.core.pod import env
from sampan.resources.file_paths import local_path
from sampan.resources.rules import (
    Errors,
    forbidden,
    invalid,
    required,
)

MODE_SAYS = "must be a number between 0 and 0777 (octal), both inclusive"
SHORTEST_TOKEN_S = 600
LONGEST_TOKEN_S = 2**32
TWICE = "conflicting duplicate paths"


def file_mode(path: str, mode: int | None) -> Errors:
    if mode is None or 0 <= mode <= 0o777:
        return []
    return invalid(path, mode, MODE_SAYS)


def key_paths(path: str, items: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, item in enumerate(items):
        here = f"{path}[{at}]"
        if not item.get("key"):
            errors += required(f"{here}.key")
        if not item.get("path"):
            errors += required(f"{here}.path")
        errors += local_path(f"{here}.path", item.get("path") or "")
        errors += file_mode(f"{here}.mode", item.get("mode"))
    return errors


def validate_downward(path: str, source: Json) -> Errors:
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        errors += _downward_file(path, item)
    return errors


def validate_projected(path: str, volume: Json) -> Errors:
    errors = file_mode(f"{path}.defaultMode", volume.get("defaultMode"))
    seen: set[str] = set()
    for at, source in enumerate(volume.get("sources") or ()):
        here = f"{path}.sources[{at}]"
        errors += _projection(path, here, source, seen)
        if len(source) > 1:
            says = "may not specify more than 1 volume type per source"
            errors += forbidden(here, says)
    return errors


def _projection(path: str, here: str, source: Json, seen: set[str]) -> Errors:
    errors: Errors = []
    for kind in ("secret", "configMap"):
        if (held := source.get(kind)) is not None:
            name = held.get("name") or ""
            errors += [] if name else required(f"{here}.{kind}.name")
            errors += key_paths(f"{here}.{kind}.items", held.get("items") or ())
            errors += _once(path, held, seen, name)
    if (held := source.get("downwardAPI")) is not None:
        for item in held.get("items") or ():
            errors += _downward_file(f"{here}.downwardAPI", item)
        errors += _once(path, held, seen, None)
    if (held := source.get("serviceAccountToken")) is not None:
        errors += _token(path, here, held)
    return errors


def _once(path: str, source: Json, seen: set[str], shown: str | None) -> Errors:
    """A file can come from one place only."""
    errors: Errors = []
    for item in source.get("items") or ():
        place = item.get("path") or ""
        if place and place in seen:
            errors += invalid(path, place if shown is None else shown, TWICE)
        seen.add(place)
    return errors


def _downward_file(path: str, item: Json) -> Errors:
    place = item.get("path") or ""
    errors: Errors = [] if place else required(f"{path}.path")
    errors += local_path(f"{path}.path", place)
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += env.field_reference(f"{path}.fieldRef", field, env.VOLUME_FIELDS)
        if resource is not None:
            says = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors += invalid(path, "resource", says)
    elif resource is not None:
        errors += env.resource_reference(f"{path}.resourceFieldRef", resource, in_volume=True)
    else:
        errors += required(path, "one of fieldRef and resourceFieldRef is required")
    return errors + file_mode(f"{path}.mode", item.get("mode"))


def _token(path: str, here: str, source: Json) -> Errors:
    field, life = f"{here}.serviceAccountToken.expirationSeconds", source.get("expirationSeconds")
    errors: Errors = []
    if life is not None and life < SHORTEST_TOKEN_S:
        errors += invalid(field, life, "may not specify a duration less than 10 minutes")
    if life is not None and life > LONGEST_TOKEN_S:
        errors += invalid(field, life, "may not specify a duration larger than 2^32 seconds")
    place = source.get("path") or ""
    if not place:
        return errors + required(f"{path}.path")
    return errors + local_path(f"{path}.path", place)
