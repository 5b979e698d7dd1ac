"""Changing a stored object: read, change, check, store; again when somebody was faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api.errors import FieldError, Invalid, NotFound, Unclassified
from sampan.api.meta import Json
from sampan.apiserver.attempts import UPDATE, Attempt
from sampan.apiserver.cacher.item import Item, body_of, value_of
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions, manager_of
from sampan.apiserver.refusals import conflict, other_object
from sampan.apiserver.registry.base import Beside, Parts
from sampan.apiserver.registry.metadata import (
    check_name,
    count_generation,
    keep_all_but_status,
    keep_generation,
    keep_status,
    one_of_each_owner,
)
from sampan.apiserver.served import Served
from sampan.resources import metadata as rules

TRIES = 100
"""Lost races are lost to somebody who won; this only ends a livelock that cannot be."""

Transform = Callable[[Json], Awaitable[Json] | Json]


@dataclass(frozen=True, slots=True)
class Change:
    """One update. `make` gets a copy of what is stored and answers with what is to be."""

    name: str
    make: Callable[[Json], Json]
    subresource: str = ""
    track: bool = True
    """False where apply has written the managed fields already."""
    retry: bool = True
    """A lost race is no conflict, because the client named no revision (PATCH, server's own)."""
    uid: str = ""
    """The object must still be this one (the uid that a PUT names)."""


async def update(
    parts: Parts, served: Served, call: Call, change: Change, options: WriteOptions
) -> Item | Json:
    """The stored item, or the object as it would have been. Raises NotFound, Conflict, Invalid."""
    namespace = _place(served, call)
    done = await _once(parts, served, call, change, options)
    if done is not None:
        return done
    async with parts.turns.of(served.key(namespace, change.name)):
        for _ in range(TRIES):
            done = await _once(parts, served, call, change, options)
            if done is not None:
                return done
    raise conflict(served.id, change.name)


async def _once(
    parts: Parts, served: Served, call: Call, change: Change, options: WriteOptions
) -> Item | Json | None:
    item = stored(served, call, change.name)
    return await _try(parts, served, call, change, options, item)


def stored(served: Served, call: Call, name: str) -> Item:
    """Raises NotFound."""
    item = served.collection.get(_place(served, call), name)
    if item is None:
        raise NotFound.of(served.id, name)
    return item


def _place(served: Served, call: Call) -> str:
    return call.info.namespace if served.id.namespaced else ""


async def _try(
    parts: Parts, served: Served, call: Call, change: Change, options: WriteOptions, item: Item
) -> Item | Json | None:
    """None when somebody else was faster and another attempt is in order."""
    old = served.current(item)
    new = change.make(served.current(item))
    check_preconditions(served, new, old, change)
    attempt = Attempt(
        UPDATE, served, call, item.namespace, item.name, new, old, change.subresource,
        options.dry_run,
    )  # fmt: skip
    if change.track:
        manager = manager_of(options, call.request.headers.get("user-agent", ""))
        parts.ownership.track(served, old, new, manager, change.subresource)
    await parts.chain.admit(attempt)
    one_of_each_owner(new, call.warn, " after mutating admission happens")
    settle(served, new, old, change.subresource)
    reservation = parts.allocator.reserve(served, new, old, dry_run=options.dry_run)
    try:
        is_patch = call.request.method == "PATCH"
        validate(served, new, old, change.subresource, is_patch=is_patch)
        if change.subresource != "status":
            for text in served.resource.warnings(new, old):
                call.warn(text)
        await parts.chain.validate(attempt)
        if options.dry_run:
            return new
        done = await store(parts, served, new, old, item, reservation, attempt)
        if done is None and not change.retry:
            raise conflict(served.id, item.name)
        return done
    finally:
        attempt.release()
        if reservation is not None:
            reservation.release()


async def store(
    parts: Parts,
    served: Served,
    new: Json,
    old: Json,
    item: Item,
    *beside: Beside | None,
) -> Item | None:
    """Write, or remove what was only waiting for its last finalizer; None: the race was lost."""
    if ends(new):
        gone = parts.allocator.reserve(served, None, old, dry_run=False)
        if not await parts.remove(served, item.namespace, item.name, item.revision, gone):
            return None
        value = value_of(new)
        return Item(item.namespace, item.name, item.revision, body_of(value, item.revision))
    if same(new, old):
        return item
    return await parts.put(served, new, item.namespace, item.revision, *beside)


def ends(obj: Json) -> bool:
    """A deleted object without finalizers and grace is gone."""
    meta = obj["metadata"]
    return (
        bool(meta.get("deletionTimestamp"))
        and not meta.get("finalizers")
        and not meta.get("deletionGracePeriodSeconds")
        and not (obj.get("kind") == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
    )


def same(new: Json, old: Json) -> bool:
    """A write that changes nothing is none; the time of a field's manager alone is no change."""
    return _without_times(new) == _without_times(old)


def _without_times(obj: Json) -> Json:
    meta = obj["metadata"]
    fields = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in meta.get("managedFields") or ()
    ]
    return {**obj, "metadata": {**meta, "managedFields": fields, "resourceVersion": ""}}


def settle(served: Served, new: Json, old: Json, subresource: str) -> None:
    """Everything that an update does not decide comes from the stored object."""
    meta = new["metadata"]
    meta.pop("selfLink", None)
    rules.carry_over(new, old)
    if subresource == "status":
        keep_all_but_status(served, new, old)
    elif served.resource.has_status and not subresource:
        keep_status(served, new, old)
    keep_generation(new, old)
    served.resource.prepare(new, old, subresource)
    count_generation(served, new, old, subresource)
    meta = new["metadata"]
    meta["resourceVersion"] = old["metadata"]["resourceVersion"]


def validate(
    served: Served, new: Json, old: Json, subresource: str, *, is_patch: bool = False
) -> None:
    """Raises Invalid with everything that is wrong."""
    rid = served.id
    resource = served.resource
    checks = resource.status_metadata_checks if subresource else resource.metadata_checks
    own = resource.validate(new, old, subresource)
    if is_patch:
        own += resource.validate_patch(new, old, subresource)
    errors = rules.validate_update(new, old, own, resource, checks)
    if errors:
        raise Invalid.of(resource.storage or rid, old["metadata"]["name"], errors)


def check_preconditions(served: Served, new: Json, old: Json, change: Change) -> None:
    """The revision and uid that the client named are those of the stored object."""
    name = old["metadata"]["name"]
    check_name(new, name)
    said = new["metadata"].get("resourceVersion") or ""
    held = old["metadata"]["resourceVersion"]
    if change.uid and change.uid != old["metadata"].get("uid"):
        raise other_object(served.id, old, change.uid)
    if said and not said.isdigit():
        raise Unclassified(f'strconv.ParseUint: parsing "{said}": invalid syntax')
    if said in ("", "0"):
        if not served.resource.unconditional_update:
            error = FieldError(
                "Invalid", "metadata.resourceVersion", 0, "must be specified for an update"
            )
            # Upstream names the resource here where it names the kind elsewhere.
            raise Invalid.of(served.id._replace(kind=served.id.plural), name, [error])
    elif said != held:
        raise conflict(served.id, old["metadata"]["name"])
