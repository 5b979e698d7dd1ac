"""The metadata that the server writes: uid, times, generation, generated names."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.errors import BadRequest
from sampan.api.meta import Json
from sampan.apiserver.served import Served

BASE_MAX = 58
"""A generated name is at most 63 characters, five of them random."""


def fill(obj: Json, uid: str, timestamp: str) -> None:
    """Metadata of a new object: what the server decides, whatever was sent."""
    meta = obj["metadata"]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        meta.pop(field, None)
    meta["uid"] = uid
    meta["creationTimestamp"] = timestamp


def one_of_each_owner(obj: Json, warn: Callable[[str], None], when: str = "") -> None:
    """An owner that is named twice counts once, and the client is told."""
    references = obj["metadata"].get("ownerReferences")
    if not references or len(references) < 2:
        return
    kept: list[Json] = []
    doubles = []
    for reference in references:
        if reference in kept:
            doubles.append(reference.get("uid") or "")
        else:
            kept.append(reference)
    if doubles:
        warn(
            f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner "
            "references in 1.20+, and may reject such requests as early as 1.24; please fix your "
            f"requests; duplicate UID(s) observed: {', '.join(doubles)}"
        )
        obj["metadata"]["ownerReferences"] = kept


def generated(base: str, suffix: str) -> str:
    return base[:BASE_MAX] + suffix


def check_namespace(served: Served, obj: Json, namespace: str) -> None:
    """The object's namespace is the path's; without one there is nothing to say. Raises
    BadRequest.
    """
    meta = obj["metadata"]
    if not served.id.namespaced:
        meta.pop("namespace", None)
        return
    said = meta.get("namespace") or ""
    if said and said != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    meta["namespace"] = namespace


def check_name(obj: Json, name: str) -> None:
    """The object's name is the path's. Raises BadRequest."""
    said = obj["metadata"].get("name")
    if not said:
        raise BadRequest(
            f"the name of the object ({name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if said != name:
        raise BadRequest(
            f"the name of the object ({said}) does not match the name on the URL ({name})"
        )


def keep_status(served: Served, new: Json, old: Json | None) -> None:
    """Main writes do not touch the status."""
    before = old.get("status") if old is not None else served.zero_status()
    if before is None:
        new.pop("status", None)
    else:
        new["status"] = before


def keep_all_but_status(served: Served, new: Json, old: Json) -> None:
    """Status writes touch the status and, for most built-in kinds, parts of the metadata."""
    for key in list(new):
        if key not in ("metadata", "status", "kind", "apiVersion"):
            del new[key]
    for key, value in old.items():
        if key not in ("metadata", "status"):
            new[key] = value
    meta, before = new["metadata"], old["metadata"]
    keeps = served.resource.status_keeps
    if served.custom or keeps == ("*",):
        fields, version = meta.get("managedFields"), meta.get("resourceVersion")
        new["metadata"] = dict(before)
        for key, value in (("managedFields", fields), ("resourceVersion", version)):
            if value is not None:
                new["metadata"][key] = value
        return
    for key in keeps:
        if key in before:
            meta[key] = before[key]
        else:
            meta.pop(key, None)


def count_generation(served: Served, new: Json, old: Json, subresource: str) -> None:
    """One more when anything but metadata and status changed."""
    if subresource == "status" or not served.resource.generation:
        return
    meta, before = new["metadata"], old["metadata"]
    counted = served.resource.generation_metadata
    same = all((meta.get(field) or {}) == (before.get(field) or {}) for field in counted)
    if not same or spec_of(new) != spec_of(old):
        meta["generation"] = (before.get("generation") or 0) + 1


def keep_generation(new: Json, old: Json) -> None:
    before = old["metadata"].get("generation")
    if before is None:
        new["metadata"].pop("generation", None)
    else:
        new["metadata"]["generation"] = before


def spec_of(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
