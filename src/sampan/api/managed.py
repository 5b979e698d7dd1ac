"""metadata.managedFields: the entries, who they belong to, in which order they stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sampan.api import fieldset
from sampan.api.fieldset import EMPTY, FieldSet
from sampan.api.meta import Json

APPLY = "Apply"
UPDATE = "Update"
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
UPDATERS_MAX = 10
"""More plain writers than that are merged into one, the oldest first."""


class Manager(NamedTuple):
    """Who an entry belongs to. Those who apply are the same in every version."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        """As conflicts name it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody owns, and since when."""

    fields: FieldSet
    api_version: str
    time: str = ""


Managers = dict[Manager, Entry]


def read(entries: Iterable[Json] | None) -> Managers:
    """The entries of an object; ValueError if they are none."""
    managers: Managers = {}
    for entry in entries or ():
        operation, version = entry.get("operation"), entry.get("apiVersion", "")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if entry.get("fieldsType") != "FieldsV1" or not version:
            raise ValueError("fieldsType must be `FieldsV1`, and apiVersion must be set")
        identity = Manager(
            entry.get("manager", ""),
            operation,
            "" if operation == APPLY else version,
            entry.get("subresource", ""),
        )
        fields = fieldset.from_fields_v1(entry.get("fieldsV1") or {})
        managers[identity] = Entry(fields, version, entry.get("time") or "")
    return managers


def read_or_nothing(entries: Any) -> Managers:
    """Entries that make no sense count as none."""
    try:
        return read(entries)
    except (ValueError, AttributeError, TypeError):
        return {}


def is_reset(entries: Any) -> bool:
    """Somebody asks for ownership to be forgotten: an empty list, or one empty entry."""
    return isinstance(entries, list) and (not entries or entries == [{}])


def written(managers: Managers) -> list[Json]:
    """The entries as the object carries them: appliers first, then by time and name."""
    return in_order([_entry(manager, entry) for manager, entry in managers.items()])


def in_order(entries: list[Json]) -> list[Json]:
    """Appliers first, then by time and name."""
    return sorted(
        entries,
        key=lambda e: (
            e["operation"],
            e.get("time", ""),
            e.get("manager", ""),
            e["apiVersion"],
            e.get("subresource", ""),
        ),
    )


def _entry(manager: Manager, entry: Entry) -> Json:
    out: Json = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldset.to_fields_v1(entry.fields),
        "subresource": manager.subresource,
    }
    return {key: value for key, value in out.items() if value != ""}


def without(managers: Managers, fields: FieldSet, *, keep: Manager | None = None) -> Managers:
    """Nobody but `keep` owns the fields any more; who owns nothing is gone."""
    out: Managers = {}
    for manager, entry in managers.items():
        left = entry.fields if manager == keep else entry.fields - fields
        if left:
            out[manager] = entry if left is entry.fields else replace(entry, fields=left)
    return out


def capped(managers: Managers) -> Managers:
    """The oldest plain writers in one entry per version once there are too many."""
    updaters = [manager for manager in managers if manager.operation == UPDATE]
    if len(updaters) <= UPDATERS_MAX:
        return managers
    out = dict(managers)
    updaters.sort(key=lambda manager: (out[manager].time, manager))
    first: dict[str, Manager] = {}
    left = len(updaters)
    for manager in updaters:
        if left <= UPDATERS_MAX:
            break
        entry = out[manager]
        if entry.api_version not in first:
            first[entry.api_version] = manager
            continue
        bucket = Manager(ANCIENT, UPDATE, entry.api_version)
        if bucket not in out:
            out[bucket] = out.pop(first[entry.api_version])
        merged = out[bucket].fields | entry.fields
        if manager != bucket:
            del out[manager]
        out[bucket] = Entry(merged, entry.api_version, entry.time)
        left -= 1
    return out


def owned_by(managers: Managers) -> FieldSet:
    """Everything that anybody owns."""
    return EMPTY.union(*(entry.fields for entry in managers.values()))
