"""Who controls what: owner references, adopting orphans and releasing what no longer matches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.errors import Conflict, Invalid, NotFound
from sampan.api.meta import Json, ResourceId
from sampan.api.selectors import Selector
from sampan.client.client import Client, PatchKind


def controller_of(obj: Json) -> Json | None:
    """The owner reference that has `controller: true`."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Json = reference
            return found
    return None


def controller_uid(obj: Json) -> str:
    reference = controller_of(obj)
    return reference["uid"] if reference else ""


def controller_reference(rid: ResourceId, owner: Json) -> Json:
    return {
        "apiVersion": rid.api_version,
        "kind": rid.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def by_controller(obj: Json) -> Iterable[str]:
    """For an index: the uid of the controller, or `orphan:` and the namespace."""
    uid = controller_uid(obj)
    return (uid or f"orphan:{obj['metadata'].get('namespace', '')}",)


BY_CONTROLLER = {"controller": by_controller}


@dataclass(frozen=True, slots=True)
class Claims:
    """Which of the candidates belong to an owner, after adoptions and releases."""

    client: Client
    owner_rid: ResourceId
    child_rid: ResourceId
    finalizer: str = ""
    """What an adopted child gets too."""

    async def claim(
        self, owner: Json, selector: Selector, candidates: Iterable[Json]
    ) -> list[Json]:
        """Orphans that match are adopted, children that do not are released."""
        kept: list[Json] = []
        orphans: list[Json] = []
        strays: list[Json] = []
        for child in candidates:
            reference = controller_of(child)
            matches = selector.matches(child["metadata"].get("labels"))
            if reference is None:
                if matches and _adoptable(owner, child):
                    orphans.append(child)
            elif reference["uid"] == owner["metadata"]["uid"]:
                (kept if matches else strays).append(child)
        if not owner["metadata"].get("deletionTimestamp"):
            await asyncio.gather(*(self._release(owner, stray) for stray in strays))
        if orphans and await self._still_there(owner):
            adopted = await asyncio.gather(*(self._adopt(owner, orphan) for orphan in orphans))
            kept += [child for child in adopted if child is not None]
        return kept

    async def _still_there(self, owner: Json) -> bool:
        """Asked from the server, not the cache: a deleted owner must not adopt what its deletion
        just orphaned.
        """
        meta = owner["metadata"]
        fresh = await self.client.find(self.owner_rid, meta["name"], meta["namespace"])
        return (
            fresh is not None
            and fresh["metadata"]["uid"] == meta["uid"]
            and not fresh["metadata"].get("deletionTimestamp")
        )

    async def _adopt(self, owner: Json, child: Json) -> Json | None:
        meta = child["metadata"]
        reference = controller_reference(self.owner_rid, owner)
        patch: Json = {"metadata": {"ownerReferences": [reference], "uid": meta["uid"]}}
        if self.finalizer:
            patch["metadata"]["finalizers"] = [self.finalizer]
        try:
            return await self._patch(child, patch)
        except (NotFound, Invalid, Conflict):
            return None  # gone, or somebody else's by now; the next change asks again

    async def _release(self, owner: Json, child: Json) -> None:
        uid = owner["metadata"]["uid"]
        patch = {
            "metadata": {
                "ownerReferences": [{"$patch": "delete", "uid": uid}],
                "uid": child["metadata"]["uid"],
            }
        }
        try:
            await self._patch(child, patch)
        except (NotFound, Invalid, Conflict):
            return  # gone, or released already

    async def _patch(self, child: Json, patch: Json) -> Json:
        meta = child["metadata"]
        return await self.client.patch(
            self.child_rid,
            meta["name"],
            patch,
            namespace=meta["namespace"],
            kind=PatchKind.STRATEGIC,
        )


def _adoptable(owner: Json, child: Json) -> bool:
    leaving = owner["metadata"].get("deletionTimestamp") or child["metadata"].get(
        "deletionTimestamp"
    )
    return not leaving
