"""From the slices that a Service has to those that it should have: what to create, update and
delete for one address family. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.controllers.slice_layout import Wish, layout
from sampan.controllers.slice_wishes import keep_one_empty, labels_for, new_slice, stamped

MOST = 100
"""Endpoints in one slice: a change of one endpoint sends the whole slice to every node."""


@dataclass(slots=True)
class Changes:
    """Whole objects, as they are to be written."""

    create: list[Json] = field(default_factory=list)
    update: list[Json] = field(default_factory=list)
    delete: list[Json] = field(default_factory=list)


def changes_for(
    service: Json,
    family: str,
    existing: Sequence[Json],
    wished: Mapping[str, Wish],
    since: float | None,
) -> Changes:
    """Slices that belonged to an earlier Service of the name go, whatever they hold."""
    mine = [item for item in existing if _is_owned(item, service)]
    changes = Changes(delete=[item for item in existing if not _is_owned(item, service)])
    plan, labels = layout(mine, wished, MOST), labels_for(service)
    if not plan.create and not plan.update and not plan.keep:
        keep_one_empty(plan)
    spare = list(plan.delete)
    for ports, endpoints in plan.create:
        fresh = stamped(new_slice(service, family, ports, endpoints), labels, since)
        if spare:
            # A slice that would go is written anew: one event for every watcher, not two.
            changes.update.append(_in_place_of(spare.pop(0), fresh))
        else:
            changes.create.append(fresh)
    changes.delete += spare
    for item, endpoints in plan.update:
        changes.update.append(stamped({**item, "endpoints": endpoints}, labels, since))
    for item in plan.keep:
        if item["metadata"].get("labels") != labels:
            changes.update.append(stamped(item, labels, since))
    if service["metadata"].get("deletionTimestamp"):
        changes.create.clear()  # garbage collection would not see them
    return changes


def _is_owned(item: Json, service: Json) -> bool:
    owner = service["metadata"].get("uid")
    return any(
        reference.get("uid") == owner and reference.get("kind") == "Service"
        for reference in item["metadata"].get("ownerReferences") or ()
    )


def _in_place_of(spare: Json, fresh: Json) -> Json:
    kept = {name: spare["metadata"][name] for name in ("name", "uid", "resourceVersion")}
    return {**fresh, "metadata": {**fresh["metadata"], **kept}}
