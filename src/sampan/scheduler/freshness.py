"""Whether a refusal rests on old news.

Pods, nodes and volumes come by watches of their own, and nothing orders one before the other: a
pod may be weighed before the change that was made for it has been heard. Before the first refusal
of a pod is told, the caches that it rests on are compared with the API server, by names and
versions only; where they are behind, they are waited for, and the pod is weighed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

import orjson

from sampan.api import kinds
from sampan.api.errors import ApiError, from_status
from sampan.api.meta import Json, Key, ResourceId, key_of
from sampan.client.client import Client
from sampan.client.transport import Request, Unreachable
from sampan.loop.informer import Informer
from sampan.loop.informers import Informers
from sampan.std import log

PATIENCE_S = 5.0
"""A cache that has not caught up by then is believed as it is."""
_ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_LOG = log.get("scheduler")
_VOLUMES = (kinds.PERSISTENTVOLUMECLAIMS, kinds.PERSISTENTVOLUMES, kinds.STORAGECLASSES)
_BY_FILTER = dict.fromkeys(
    ("VolumeBinding", "VolumeRestrictions", "VolumeZone", "NodeVolumeLimits"), _VOLUMES
)


class Freshness:
    """Per collection, up to which version of the store its cache is known to be complete."""

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._caches = {rid: informers.of(rid) for rid in (kinds.NODES, *_VOLUMES)}
        self._known = dict.fromkeys(self._caches, 0)
        self._asking = {rid: asyncio.Lock() for rid in self._caches}
        self._news = asyncio.Event()
        for cache in self._caches.values():
            cache.on_change(lambda old, new: self._news.set())

    def doubts(self, pod: Json, filters: Iterable[str]) -> frozenset[ResourceId]:
        """The collections that these filters look at and that may lack what the pod builds on."""
        version = _version(pod)
        asked = {kinds.NODES, *(rid for name in filters for rid in _BY_FILTER.get(name, ()))}
        return frozenset(rid for rid in asked if self._known[rid] < version)

    async def settle(self, pod: Json, doubts: Collection[ResourceId]) -> None:
        """Until the caches show what the server has now, or patience ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(self._settle(pod, rid) for rid in doubts))
        except (ApiError, Unreachable, TimeoutError, ValueError) as error:
            # Told as it is known; a later change wakes the pod.
            _LOG.debug("caches not compared", pod=key_of(pod), error=error)

    async def _settle(self, pod: Json, rid: ResourceId) -> None:
        async with self._asking[rid]:
            if rid not in self.doubts(pod, _BY_FILTER):
                return  # whoever asked before asked for this pod too
            wanted, version = await self._ask(rid)
            while not _shows(self._caches[rid], wanted, version):
                self._news.clear()
                await self._news.wait()
            self._known[rid] = max(self._known[rid], version)

    async def _ask(self, rid: ResourceId) -> tuple[dict[Key, int], int]:
        """What the server has now: names and versions, and the version of the store."""
        response = await self._client.raw(Request("GET", rid.path(), "", {"accept": _ACCEPT}))
        body: Json = orjson.loads(await response.read())
        if response.status != 200:
            raise from_status(body, response.status)
        items = {key_of(item): _version(item) for item in body.get("items") or ()}
        return items, _version(body)


def _shows(cache: Informer, wanted: dict[Key, int], version: int) -> bool:
    """Whether the cache has all of these, and nothing that was gone by that version."""
    for key, least in wanted.items():
        cached = cache.get(key)
        if cached is None or _version(cached) < least:
            return False
    return all(key_of(obj) in wanted or _version(obj) > version for obj in cache.items())


def _version(obj: Json) -> int:
    """0 for a server whose versions are no numbers: nothing can be compared then."""
    text = str(obj["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdecimal() else 0
