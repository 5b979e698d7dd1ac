"""Storing a new object."""

from __future__ import annotations

from dataclasses import replace

import orjson

from sampan.api.errors import (
    AlreadyExists,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    Unclassified,
    details_of,
)
from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, Attempt
from sampan.apiserver.authz.attributes import attributes_of
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.call import Call
from sampan.apiserver.options import WriteOptions, manager_of
from sampan.apiserver.refusals import conflict
from sampan.apiserver.registry.base import Parts, Reservation
from sampan.apiserver.registry.metadata import (
    check_namespace,
    fill,
    generated,
    keep_status,
    one_of_each_owner,
)
from sampan.apiserver.registry.update import TRIES
from sampan.apiserver.served import Served
from sampan.resources import metadata as rules

GENERATE_TRIES = 8


async def create(
    parts: Parts,
    served: Served,
    call: Call,
    obj: Json,
    options: WriteOptions,
    *,
    track: bool = True,
) -> Item | Json:
    """The stored item, or the object as it would have been (dry run).

    `track` is false where apply has written the managed fields already.
    """
    if served.closing:
        raise MethodNotAllowed(
            "create not allowed while custom resource definition is terminating",
            details=details_of(served.id, ""),
        )
    namespace = call.info.namespace if served.id.namespaced else ""
    check_namespace(served, obj, namespace)
    meta = obj["metadata"]
    base = meta.get("generateName", "") if not meta.get("name") else ""
    sent = orjson.dumps(obj)
    for attempt in range(TRIES):
        if base:
            meta["name"] = generated(base, parts.random_suffix())
        try:
            return await _create(parts, served, call, obj, (options, base), track=track)
        except AlreadyExists:
            if not base or attempt >= GENERATE_TRIES - 1:
                raise
        except Beaten:
            pass
        obj = orjson.loads(sent)
        meta = obj["metadata"]
    raise conflict(served.id, meta["name"])


def may_create(parts: Parts, call: Call) -> None:
    """Who may update or patch may not therefore create. Raises Forbidden."""
    asked = replace(attributes_of(call.user, call.info), verb="create")
    decision = parts.authorizer.decide(asked)
    if not decision.allowed:
        info = call.info
        text = f'{info.qualified} "{info.name}" is forbidden: {decision.reason}'
        details: Json = {"name": info.name, "group": info.group, "kind": info.resource}
        if not info.group:
            del details["group"]
        raise Forbidden(text, details=details)


class Beaten(Exception):
    """Something beside the object (a quota, an address) was changed by somebody else meanwhile."""


async def _create(
    parts: Parts,
    served: Served,
    call: Call,
    obj: Json,
    how: tuple[WriteOptions, str],
    *,
    track: bool,
) -> Item | Json:
    """`how`: the options, and the generateName that the name was made of."""
    options, base = how
    namespace = obj["metadata"].get("namespace", "")
    name = obj["metadata"].get("name", "")
    dry_run = options.dry_run
    version = obj["metadata"].pop("resourceVersion", "")
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        obj["metadata"].pop(key, None)  # nobody comes to own what the system alone writes
    attempt = Attempt(
        CREATE, served, call, namespace, name, obj, None, dry_run=dry_run, prefix=base
    )
    if track:
        manager = manager_of(options, call.request.headers.get("user-agent", ""))
        parts.ownership.track(served, None, obj, manager, "")
    await parts.chain.admit(attempt)
    attempt.prefix = ""
    one_of_each_owner(obj, call.warn, " after mutating admission happens")
    _settle(parts, served, obj)
    # Upstream allocates first: what is wrong with an address is told alone, and all else after.
    reservation: Reservation | None = None
    try:
        reservation = parts.allocator.reserve(served, obj, None, dry_run=dry_run)
        _check(served, obj)
        for text in served.resource.warnings(obj, None):
            call.warn(text)
        await parts.chain.validate(attempt)
        if dry_run:
            refuse_existing(served, namespace, name)
            return obj
        if version.isdigit() and int(version):
            raise Unclassified("resourceVersion should not be set on objects to be created")
        item = await parts.put(served, obj, namespace, 0, reservation, attempt)
        if item is None:
            refuse_existing(served, namespace, name)
            raise Beaten
        return item
    finally:
        attempt.release()
        if reservation is not None:
            reservation.release()


def _settle(parts: Parts, served: Served, obj: Json) -> None:
    """What a new object does not decide itself."""
    fill(obj, parts.new_uid(), parts.timestamp())
    resource = served.resource
    if resource.has_status and not resource.status_on_create:
        keep_status(served, obj, None)
    if resource.generation:
        obj["metadata"]["generation"] = 1
    resource.prepare(obj, None, "")


def _check(served: Served, obj: Json) -> None:
    """Raises Invalid with everything that is wrong."""
    rid = served.id
    resource = served.resource
    errors = rules.validate_create(
        obj,
        namespaced=rid.namespaced,
        name_rule=resource.name_rule,
        free_finalizers=resource.free_finalizers,
    )
    errors += resource.validate(obj, None, "")
    errors = errors or rules.validate_common(obj, namespaced=rid.namespaced)
    if errors:
        raise Invalid.of(resource.storage or rid, obj["metadata"].get("name", ""), errors)


def refuse_existing(served: Served, namespace: str, name: str) -> None:
    """Raises AlreadyExists, and says so when the object that is there is on its way out."""
    item = served.collection.get(namespace, name)
    if item is None:
        return
    error = AlreadyExists.of(served.id, name)
    if b'"deletionTimestamp":"' in item.body and item.decode()["metadata"].get("deletionTimestamp"):
        raise AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
    raise error
