"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, by number and name.

The names hold upstream's hashes, so that they stay when a cluster moves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, NotFound
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.controllers.owners import controller_reference
from sampan.controllers.podhash import safe
from sampan.controllers.stamps import created


def patch_of(template: Json) -> Json:
    """What a revision keeps: a patch that sets the template."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def raw(patch: Json) -> bytes:
    """As Go writes JSON: sorted, compact, with <, > and & escaped."""
    text = json.dumps(patch, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for letter, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(letter, escaped)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def revision_hash(patch: Json, collisions: int) -> str:
    """The hash in the name of a StatefulSet's revision: FNV-1 (not 1a) of the patch's text."""
    value = 2166136261
    for byte in raw(patch) + str(collisions).encode():
        value = ((value * 16777619) & 0xFFFFFFFF) ^ byte
    return safe(str(value))


def template_in(revision: Json) -> Json:
    """The template that a revision keeps."""
    template = dict(((revision.get("data") or {}).get("spec") or {}).get("template") or {})
    template.pop("$patch", None)
    return template


def in_order(revisions: Sequence[Json]) -> list[Json]:
    return sorted(
        revisions, key=lambda r: (r.get("revision", 0), created(r), r["metadata"]["name"])
    )


def surplus(revisions: Sequence[Json], live: set[str], limit: int) -> list[Json]:
    """Old revisions that no pod has, beyond the history limit."""
    idle = [r for r in in_order(revisions) if r["metadata"]["name"] not in live]
    return idle[: max(0, len(idle) - limit)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The revision that a template asks for."""

    hashed: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    patch: Json


class Revisions:
    """Finds and makes the revisions of one kind of owner."""

    def __init__(self, client: Client, rid: ResourceId) -> None:
        self._client = client
        self._rid = rid

    async def latest(self, owner: Json, known: Sequence[Json], wanted: Wanted) -> Json:
        """The revision with this content, as the newest; made or renumbered where needed. Raises
        AlreadyExists where the name is taken by another content (count a collision).
        """
        ordered = in_order(known)
        newest = ordered[-1].get("revision", 0) if ordered else 0
        equal = [r for r in ordered if (r.get("data") or {}) == wanted.patch]
        if equal:
            if equal[-1] is ordered[-1]:
                return equal[-1]
            renumbered = {**equal[-1], "revision": newest + 1}
            return await self._client.update(kinds.CONTROLLERREVISIONS, renumbered)
        return await self._create(owner, wanted, newest + 1)

    async def remove(self, revision: Json) -> None:
        meta = revision["metadata"]
        await self._client.delete(
            kinds.CONTROLLERREVISIONS, meta["name"], meta["namespace"], uid=meta["uid"]
        )

    async def _create(self, owner: Json, wanted: Wanted, number: int) -> Json:
        meta = owner["metadata"]
        name = f"{meta['name'][:223]}-{wanted.hashed}"
        fresh: Json = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": dict(wanted.labels),
                "annotations": dict(wanted.annotations),
                "ownerReferences": [controller_reference(self._rid, owner)],
            },
            "data": wanted.patch,
            "revision": number,
        }
        try:
            return await self._client.create(kinds.CONTROLLERREVISIONS, fresh)
        except AlreadyExists:
            there = await self._client.find(kinds.CONTROLLERREVISIONS, name, meta["namespace"])
            if there is None:
                raise NotFound(f"revision {name} was there and is gone") from None
            if (there.get("data") or {}) == wanted.patch:
                return there
            raise
