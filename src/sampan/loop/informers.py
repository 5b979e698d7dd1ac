"""Informers shared in a process: one list and watch per collection, however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sampan.api.meta import ResourceId
from sampan.client.client import Client
from sampan.loop.informer import Indexer, Informer
from sampan.std.clock import Clock


class Informers:
    """`of` gives the shared informer; `run` keeps all of them, also those asked for later."""

    name = "informers"

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[tuple[ResourceId, str, str, str], Informer] = {}
        self._fresh: asyncio.Queue[Informer] = asyncio.Queue()
        self._tasks: dict[Informer, asyncio.Task[None]] = {}

    def of(
        self,
        rid: ResourceId,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """The informer of this selection; its indexes are the sum of what was asked for."""
        key = (rid, namespace, labels, fields)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(
                self._client,
                rid,
                namespace=namespace,
                labels=labels,
                fields=fields,
                clock=self._clock,
            )
            self._informers[key] = informer
            self._fresh.put_nowait(informer)
        informer.add_indexers(indexers or {})
        return informer

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """For ever; a component, started at once (`synced` says when the caches are whole)."""
        async with asyncio.TaskGroup() as group:
            started()
            while True:
                informer = await self._fresh.get()
                if informer in self._informers.values():
                    name = f"informer {informer.rid.qualified}"
                    self._tasks[informer] = group.create_task(informer.run(), name=name)

    def drop(self, rid: ResourceId) -> None:
        """Stop following a resource that is served no longer. Its objects are reported as gone."""
        for key in [key for key in self._informers if key[0] == rid]:
            informer = self._informers.pop(key)
            task = self._tasks.pop(informer, None)
            if task is not None:
                task.cancel()
            informer.clear()

    async def synced(self) -> None:
        """Until every informer asked for so far has listed once."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()
