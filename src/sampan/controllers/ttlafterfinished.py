"""Finished Jobs with `ttlSecondsAfterFinished` are deleted when that time is over."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.controllers.pods import condition
from sampan.controllers.stamps import seconds
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "ttl-after-finished-controller"


def ttlafterfinished(deps: Deps) -> Component:
    reconciler = TtlAfterFinished(deps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=(reconciler.jobs,))


class TtlAfterFinished:
    """The reconciler; keys are Jobs."""

    name = "ttl-after-finished"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self.jobs = deps.informers.of(kinds.JOBS)
        self.jobs.on_change(lambda old, new: self._wake(new))

    async def reconcile(self, key: Key) -> float | None:
        wait = self._left(self.jobs.get(key))
        if wait is None or wait > 0:
            return wait
        # The cache may be behind: a Job that got a longer life must keep it.
        fresh = await self._client.find(kinds.JOBS, key.name, key.namespace)
        wait = self._left(fresh)
        if fresh is None or wait is None or wait > 0:
            return wait
        uid = fresh["metadata"]["uid"]
        await self._client.delete(
            kinds.JOBS, key.name, key.namespace, uid=uid, propagation="Foreground"
        )
        return None

    def _left(self, job: Json | None) -> float | None:
        """Seconds that a finished Job has left; None for one that stays."""
        if job is None or job["metadata"].get("deletionTimestamp"):
            return None
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        ended = [condition(job, kind) for kind in ("Complete", "Failed")]
        times = [
            seconds(item.get("lastTransitionTime"))
            for item in ended
            if item is not None and item.get("status") == "True"
        ]
        if ttl is None or not times:
            return None
        return max(0.0, times[0] + float(ttl) - self._clock.now())

    def _wake(self, job: Json | None) -> None:
        if job is not None and job["spec"].get("ttlSecondsAfterFinished") is not None:
            self.queue.add(key_of(job))
