"""How many pods a PodDisruptionBudget's owners were asked to have: the sum over all controllers of
its pods, workloads of our own kinds and anything else with a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.controllers.discovery import Served, discover
from sampan.controllers.owners import controller_of

WORKLOADS = {
    rid.kind: rid
    for rid in (
        kinds.REPLICATIONCONTROLLERS, kinds.REPLICASETS, kinds.DEPLOYMENTS, kinds.STATEFULSETS,
    )
}  # fmt: skip


class BadScale(Exception):
    """The pods' owner cannot say how many there should be; the message names it."""


class Scale(NamedTuple):
    """The pods asked for, and whether some pods belong to nobody and are missing in it."""

    pods: int
    unmanaged: bool


class Scales:
    """Asks owners for their sizes; what resources there are is asked once."""

    def __init__(self, client: Client, discovery: Client) -> None:
        self._client = client
        self._discovery = discovery
        self._served: dict[tuple[str, str], Served] = {}

    async def of(self, namespace: str, pods: Sequence[Json]) -> Scale:
        """Raises BadScale."""
        sizes: dict[str, int] = {}
        asked: set[str] = set()
        unmanaged = False
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                unmanaged = True
            elif reference["uid"] not in asked:
                asked.add(reference["uid"])
                found = await self._size(reference, namespace)
                if found is None:
                    name = pod["metadata"]["name"]
                    raise BadScale(f'found no controllers for pod "{name}"')
                sizes[found[0]] = found[1]
        return Scale(sum(sizes.values()), unmanaged)

    async def _size(self, reference: Json, namespace: str) -> tuple[str, int] | None:
        """The uid of the owner that has a say, and its size."""
        rid = WORKLOADS.get(reference["kind"])
        if rid is None or rid.api_version != reference["apiVersion"]:
            return await self._scale(reference, namespace)
        owner = await self._client.find(rid, reference["name"], namespace)
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            return None
        above = controller_of(owner)
        if above is not None and above["kind"] == "Deployment":
            return await self._size(above, namespace)
        replicas = owner["spec"].get("replicas")
        return owner["metadata"]["uid"], 1 if replicas is None else int(replicas)

    async def _scale(self, reference: Json, namespace: str) -> tuple[str, int] | None:
        served = await self._find(reference["apiVersion"], reference["kind"])
        if served is None:
            group, _, version = reference["apiVersion"].rpartition("/")
            raise BadScale(
                f'no matches for kind "{reference["kind"]}" in version '
                f'"{f"{group}/" if group else ""}{version}"'
            )
        if "scale" not in served.subresources:
            rid = served.rid
            name = f"{rid.plural}.{rid.group}" if rid.group else rid.plural
            raise BadScale(f"{name} does not implement the scale subresource")
        try:
            found = await self._client.get(
                served.rid, reference["name"], namespace, subresource="scale"
            )
        except NotFound:
            return None
        if found["metadata"].get("uid") != reference["uid"]:
            return None
        return reference["uid"], int((found.get("spec") or {}).get("replicas") or 0)

    async def _find(self, api_version: str, kind: str) -> Served | None:
        if (api_version, kind) not in self._served:
            for one in await discover(self._discovery):
                self._served[one.rid.api_version, one.rid.kind] = one
        return self._served.get((api_version, kind))
