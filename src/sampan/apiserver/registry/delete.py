"""Deleting: preconditions, grace, finalizers, and the removal itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sampan.api.errors import Conflict, NotFound
from sampan.api.meta import Json
from sampan.apiserver.attempts import DELETE, Attempt
from sampan.apiserver.cacher.item import Item, body_of, value_of
from sampan.apiserver.call import Call
from sampan.apiserver.options import DeleteOptions
from sampan.apiserver.refusals import conflict
from sampan.apiserver.registry.base import Parts, second_text
from sampan.apiserver.registry.update import TRIES, ends
from sampan.apiserver.served import Served

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object as it was last seen, and whether it is gone now."""

    obj: Json
    item: Item
    gone: bool


Mark = Callable[[Json, DeleteOptions], bool]
"""Changes an object that is being deleted; whether it goes at once."""


async def delete(
    parts: Parts,
    served: Served,
    call: Call,
    name: str,
    options: DeleteOptions,
    marker: Mark | None = None,
) -> Deleted:
    """`marker` is for kinds that go in their own way. Raises NotFound, Conflict, Forbidden."""
    namespace = call.info.namespace if served.id.namespaced else ""
    for _ in range(TRIES):
        item = served.collection.get(namespace, name)
        if item is None:
            raise NotFound.of(served.id, name)
        done = await _try(parts, served, call, options, item, marker)
        if done is not None:
            return done
    raise conflict(served.id, name)


async def _try(
    parts: Parts,
    served: Served,
    call: Call,
    options: DeleteOptions,
    item: Item,
    marker: Mark | None,
) -> Deleted | None:
    old = served.current(item)
    check_preconditions(served, old, options)
    attempt = Attempt(
        DELETE, served, call, item.namespace, item.name, None, old, dry_run=options.dry_run
    )
    await parts.chain.admit(attempt)
    await parts.chain.validate(attempt)
    new = served.current(item)
    gone = marker(new, options) if marker else mark(parts, served, new, options)
    if options.dry_run:
        shown = Item(item.namespace, item.name, item.revision, _body(new, item.revision))
        return Deleted(new, shown, gone)
    if gone:
        held = parts.allocator.reserve(served, None, old, dry_run=False)
        if not await parts.remove(served, item.namespace, item.name, item.revision, held):
            return None
        last = Item(item.namespace, item.name, item.revision, _body(new, item.revision))
        return Deleted(new, last, True)
    if new == old:
        return Deleted(new, item, False)
    done = await parts.put(served, new, item.namespace, item.revision)
    return Deleted(new, done, False) if done is not None else None


def check_preconditions(served: Served, obj: Json, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    said_uid, said_version = options.uid, options.version
    if said_uid is not None and said_uid != meta.get("uid"):
        raise _not_that(
            served, meta["name"],
            f"the UID in the precondition ({said_uid}) does not match the UID in record "
            f"({meta.get('uid', '')}). The object might have been deleted and then recreated",
        )  # fmt: skip
    if said_version is not None and said_version != meta.get("resourceVersion"):
        raise _not_that(
            served, meta["name"],
            f"the ResourceVersion in the precondition ({said_version}) does not match the "
            f"ResourceVersion in record ({meta['resourceVersion']}). The object might have been "
            "modified",
        )  # fmt: skip


def _not_that(served: Served, name: str, why: str) -> Conflict:
    """Upstream names the kind here where elsewhere it names the resource."""
    rid = served.id
    qualified = f"{rid.kind}.{rid.group}" if rid.group else rid.kind
    details: Json = {"name": name, "kind": rid.kind}
    if rid.group:
        details["group"] = rid.group
    return Conflict(
        f'Operation cannot be fulfilled on {qualified} "{name}": {why}', details=details
    )


def mark(parts: Parts, served: Served, obj: Json, options: DeleteOptions) -> bool:
    """Set deletionTimestamp, grace and finalizers as this request asks, only ever sooner; whether
    the object goes at once.
    """
    meta = obj["metadata"]
    finalizers(meta, options, orphans=served.resource.orphans)
    if meta.get("deletionTimestamp"):
        _shorten(meta, options.grace)
        return ends(obj)
    graceful = served.resource.grace
    grace = graceful(obj, options.grace) if graceful is not None else 0
    if graceful is None and not meta.get("finalizers"):
        # The kind knows no grace: nothing will see the object again, so it is not marked.
        return True
    meta["deletionTimestamp"] = parts.timestamp(grace)
    meta["deletionGracePeriodSeconds"] = grace
    if meta.get("generation"):
        meta["generation"] += 1
    return ends(obj)


def _shorten(meta: Json, asked: int | None) -> None:
    """Who waits already may be asked to go sooner, counted from when it was told to."""
    before = meta.get("deletionGracePeriodSeconds")
    if asked is None or before is None:
        return
    grace = 1 if asked < 0 else asked
    if grace < before:
        told = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp() - before
        meta["deletionTimestamp"] = second_text(int(told + grace))
        meta["deletionGracePeriodSeconds"] = grace


def finalizers(meta: Json, options: DeleteOptions, *, orphans: bool = False) -> None:
    """`orphan` and `foregroundDeletion` come and go with the propagation policy; where no policy
    is named, what the object says already counts before what its kind does.
    """
    held = list(meta.get("finalizers") or ())
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(options.propagation)
    if orphans and not options.propagation and not {ORPHAN, FOREGROUND} & set(held):
        wanted = ORPHAN
    if options.propagation:
        held = [name for name in held if name not in (ORPHAN, FOREGROUND) or name == wanted]
    if wanted is not None and wanted not in held:
        held.append(wanted)
    if held:
        meta["finalizers"] = held
    else:
        meta.pop("finalizers", None)


def _body(obj: Json, revision: int) -> bytes:
    return body_of(value_of(obj), revision)
