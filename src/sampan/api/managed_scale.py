"""Ownership of a workload's replicas, as the Scale shows it and as the workload keeps it.

A Scale has no managedFields of its own: those of the workload who own the number of replicas own
`.spec.replicas` of the Scale, and what a write to the Scale changes goes back the same way.
"""

from __future__ import annotations

from dataclasses import replace

from sampan.api.fieldset import Path
from sampan.api.managed import APPLY, Entry, Manager, Managers

SCALE_VERSION = "autoscaling/v1"
REPLICAS: Path = ("f:spec", "f:replicas")


def of_scale(parent: Managers, path: Path) -> Managers:
    """Who owns the replicas, as owners of the Scale's field."""
    return {
        _in_version(manager, SCALE_VERSION): Entry(frozenset([REPLICAS]), SCALE_VERSION, entry.time)
        for manager, entry in parent.items()
        if path in entry.fields
    }


def onto_parent(parent: Managers, scale: Managers, path: Path, api_version: str) -> Managers:
    """The workload's owners after a write to its Scale."""
    out: Managers = {}
    left = dict(scale)
    for manager, entry in parent.items():
        if path not in entry.fields:
            out[manager] = entry
            continue
        kept = left.pop(_in_version(manager, SCALE_VERSION), None)
        if kept is not None:
            out[manager] = replace(entry, time=kept.time)
        elif entry.fields - {path}:
            out[manager] = replace(entry, fields=entry.fields - {path})
    for manager, entry in left.items():
        here = _in_version(manager, api_version)
        before = out.get(here)
        fields = frozenset([path]) | (before.fields if before else frozenset())
        out[here] = Entry(fields, api_version, entry.time)
    return out


def _in_version(manager: Manager, version: str) -> Manager:
    return manager if manager.operation == APPLY else manager._replace(api_version=version)
