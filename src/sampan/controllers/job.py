"""Jobs: pods until enough of them succeeded.

A pod is counted once, also if this process dies between any two steps: its finalizer keeps it
until its uid is in the status, and the uid stays in the status until the finalizer is gone.

    finished pod with finalizer --> status.uncounted += uid --> finalizer off --> counted, uid off
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sampan.api import kinds, selectors
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.client.client import PatchKind
from sampan.controllers import conditions
from sampan.controllers import job_rules as rules
from sampan.controllers.batch import slow_start
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.job_pods import (
    Count,
    Pauses,
    by_job,
    counts_as,
    finished_in,
    free_indexes,
    give_index,
    surplus,
    uncounted_in,
)
from sampan.controllers.owners import BY_CONTROLLER, Claims, controller_reference
from sampan.controllers.pods import (
    is_active,
    is_ready,
    pod_from,
)
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

ACCOUNT = "job-controller"
BURST = 500
BATCH_S = 0.5
"""Changes of pods are gathered: pods that end together are counted together."""
KEPT = (
    f"the finalizer {rules.FINALIZER} is still there after it was taken off; look for a mutating "
    "webhook that puts it back"
)


class FinalizerKept(Exception):
    """A pod that cannot be let go, and so cannot be counted."""


def job(deps: Deps) -> Component:
    reconciler = Jobs(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(reconciler.jobs, reconciler.pods),
    )


class Jobs:
    """The reconciler."""

    name = "job"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self.jobs = deps.informers.of(kinds.JOBS)
        self.pods = deps.informers.of(kinds.PODS, indexers={**BY_CONTROLLER, "job": by_job})
        self._claims = Claims(self._client, kinds.JOBS, kinds.PODS, rules.FINALIZER)
        self._echo = Echo(self.pods, deps.clock)
        self._own_echo = Echo(self.jobs, deps.clock)
        self._pauses: dict[str, Pauses] = {}
        self.jobs.on_change(self._job_changed)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: Key) -> float | None:
        found = self.jobs.get(key)
        if found is None:
            self._echo.forget(key)
            self._own_echo.forget(key)
            await self._let_go(key, self.pods.by("job", str(key)))
            return None
        if found["spec"].get("managedBy") not in (None, rules.MANAGER):
            return None
        if not (self._echo.settled(key) and self._own_echo.settled(key)):
            return 1.0  # its own last writes are not in the caches yet; they will wake it
        candidates = self.pods.by("controller", found["metadata"]["uid"])
        if rules.is_finished(found) or found["metadata"].get("deletionTimestamp"):
            await self._let_go(key, candidates)
            return None
        orphans = self.pods.by("controller", f"orphan:{key.namespace}")
        selector = selectors.from_object(found["spec"].get("selector"))
        pods = await self._claims.claim(found, selector, [*candidates, *filter(is_active, orphans)])
        return await self._round(key, found, pods)

    async def _round(self, key: Key, found: Json, pods: Sequence[Json]) -> float | None:
        now = self._clock.now()
        counted = Count(found, pods)
        pauses = self._pauses.setdefault(found["metadata"]["uid"], Pauses())
        pauses.note(found, counted, now)
        verdict = rules.standing_verdict(found) or rules.verdict(
            found, pods, (len(counted.active), counted.succeeded, counted.failed), now
        )
        status = dict(found.get("status") or {})
        wait: float | None = None
        problem: Exception | None = None
        active = counted.active
        if verdict is not None or rules.is_suspended(found):
            is_failing = verdict is not None and not verdict.ok
            await asyncio.gather(
                *(self._delete(found, key, pod, counts=is_failing) for pod in active)
            )
            active = []
        elif not found["metadata"].get("deletionTimestamp"):
            made, wait, problem = await self._manage(found, key, (counted, pauses))
            active = [*active, *made]
        self._suspend_or_resume(found, status, now)
        status["active"] = len(active)
        status["ready"] = sum(is_ready(pod) for pod in active)
        status["terminating"] = len(counted.terminating)
        if rules.per_index_limit(found) is not None:
            status["failedIndexes"] = rules.written(counted.failed_indexes)
        finished = finished_in(found, pods, is_failing=verdict is not None and not verdict.ok)
        await self._count_finished(key, found, status, (pods, finished))
        if verdict is not None:
            await self._end(key, verdict)
        if problem is not None:
            raise problem
        deadline = rules.deadline_in(found, now)
        return min((w for w in (wait, deadline) if w), default=None)

    # Pods.

    async def _manage(
        self, found: Json, key: Key, known: tuple[Count, Pauses]
    ) -> tuple[list[Json], float | None, Exception | None]:
        """Make or delete pods: (those made, seconds to wait, what went wrong)."""
        counted, pauses = known
        active = list(counted.active)
        busy = len(active)
        if found["spec"].get("podReplacementPolicy") == "Failed":
            busy += len(counted.terminating)
        missing = rules.wanted(found, counted.succeeded, len(active)) - busy
        doomed = surplus(found, active, -missing)
        if doomed:
            await asyncio.gather(*(self._delete(found, key, pod) for pod in doomed))
            return [], None, None
        indexes = free_indexes(found, counted)
        now = self._clock.now()
        wait = pauses.left(indexes, now)
        indexes = [index for index in indexes if not pauses.left([index], now)]
        if missing == 0 or (wait and not indexes):
            return [], wait, None
        made: list[Json] = []

        async def one() -> None:
            index = indexes.pop(0)
            failures = counted.index_failures.get(index, 0) if index is not None else 0
            made.append(await self._create(found, key, (index, failures)))

        _, problem = await slow_start(min(missing, BURST, len(indexes)), one)
        return made, wait, problem

    async def _create(self, found: Json, key: Key, place: tuple[int | None, int]) -> Json:
        template = found["spec"]["template"]
        index, failures = place
        reference = controller_reference(kinds.JOBS, found)
        name = key.name if index is None else f"{key.name}-{index}"
        pod = pod_from(template, name, reference)
        pod["metadata"]["finalizers"] = [rules.FINALIZER]
        if index is not None:
            give_index(found, pod, index, failures)
        try:
            made = await self._client.create(kinds.PODS, pod, namespace=key.namespace)
        except ApiError as error:
            text = f"Error creating: {error}"
            self._recorder.event(found, "Warning", "FailedCreate", text)
            raise
        self._echo.wrote(key, made)
        text = f"Created pod: {made['metadata']['name']}"
        self._recorder.event(found, "Normal", "SuccessfulCreate", text)
        return made

    async def _delete(self, found: Json, key: Key, pod: Json, *, counts: bool = False) -> None:
        """Its finalizer first: a pod that we no longer want is no failure, unless it `counts`."""
        meta = pod["metadata"]
        if not counts:
            await self._free(key, pod)
        await self._client.delete(kinds.PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        self._echo.deleted(key, pod)
        text = f"Deleted pod: {meta['name']}"
        self._recorder.event(found, "Normal", "SuccessfulDelete", text)

    async def _let_go(self, key: Key, pods: Sequence[Json]) -> None:
        """The Job needs them no longer."""
        await asyncio.gather(*(self._free(key, pod) for pod in pods))

    async def _free(self, key: Key, pod: Json) -> None:
        if not rules.has_finalizer(pod):
            return
        meta = pod["metadata"]
        patch = {
            "metadata": {
                "uid": meta["uid"],
                "$deleteFromPrimitiveList/finalizers": [rules.FINALIZER],
            }
        }
        try:
            fresh = await self._client.patch(
                kinds.PODS, meta["name"], patch, namespace=key.namespace, kind=PatchKind.STRATEGIC
            )
        except NotFound:
            return
        if rules.has_finalizer(fresh):
            # To go on would count the pod once more in every round.
            raise FinalizerKept(f"pod {meta['namespace']}/{meta['name']}: {KEPT}")
        after = fresh["metadata"]
        stays = after.get("finalizers") or after.get("deletionGracePeriodSeconds")
        if after.get("deletionTimestamp") and not stays:
            self._echo.ended(key, fresh)
        else:
            self._echo.wrote(key, fresh)

    # Counting.

    async def _count_finished(
        self, key: Key, found: Json, status: Json, known: tuple[Sequence[Json], Sequence[Json]]
    ) -> None:
        """The three steps of the picture above; `known` are all pods and those that ended."""
        pods, finished = known
        uncounted = uncounted_in(status)
        for pod in finished:
            kind = counts_as(found, pod)
            uid = pod["metadata"]["uid"]
            if kind and uid not in uncounted["succeeded"] and uid not in uncounted["failed"]:
                uncounted[kind].append(uid)
        done = rules.completed_indexes(found, pods)
        if rules.is_indexed(found):
            status["completedIndexes"] = rules.written(done)
        status["uncountedTerminatedPods"] = {k: v for k, v in uncounted.items() if v}
        if any(uncounted.values()):
            await self._store(key, status)
            await self._let_go(key, finished)
            status["succeeded"] = status.get("succeeded", 0) + len(uncounted["succeeded"])
            status["failed"] = status.get("failed", 0) + len(uncounted["failed"])
            if rules.is_indexed(found):
                status["succeeded"] = len(done)
            status["uncountedTerminatedPods"] = {}
        elif finished:
            await self._let_go(key, finished)
        await self._store(key, status)

    async def _store(self, key: Key, status: Json) -> None:
        """Against the newest version: the status is ours alone."""
        kept = ("uncountedTerminatedPods", "ready", "terminating", "failedIndexes")
        clean = {n: v for n, v in status.items() if v not in (0, "", None, []) or n in kept}
        current = await self._client.find(kinds.JOBS, key.name, key.namespace)
        if current is None:
            return
        status.clear()
        status |= clean
        if clean == (current.get("status") or {}):
            return
        try:
            fresh = await self._client.update(
                kinds.JOBS, {**current, "status": clean}, subresource="status"
            )
        except NotFound:
            return
        self._own_echo.wrote(key, fresh)

    # Beginning and end.

    def _suspend_or_resume(self, found: Json, status: Json, now: float) -> None:
        known = status.get("conditions") or []
        told = rules.is_true(found, "Suspended")
        if rules.is_suspended(found):
            status.pop("startTime", None)
            if not told:
                fresh = rules.condition_of(
                    "Suspended", "True", "JobSuspended", "Job suspended", now
                )
                status["conditions"] = conditions.put(known, fresh)
                self._recorder.event(found, "Normal", "Suspended", "Job suspended")
            return
        if told:
            fresh = rules.condition_of("Suspended", "False", "JobResumed", "Job resumed", now)
            status["conditions"] = conditions.put(known, fresh)
            status["startTime"] = stamp(now)
            self._recorder.event(found, "Normal", "Resumed", "Job resumed")
        elif not status.get("startTime"):
            status["startTime"] = stamp(now)

    async def _end(self, key: Key, verdict: rules.Verdict) -> None:
        """First that it will end, then, when no pod runs any more, that it has."""
        current = await self._client.find(kinds.JOBS, key.name, key.namespace)
        if current is None:
            return
        status = dict(current.get("status") or {})
        now = self._clock.now()
        first, last = (
            ("SuccessCriteriaMet", "Complete") if verdict.ok else ("FailureTarget", "Failed")
        )
        fresh = rules.condition_of(first, "True", verdict.reason, verdict.message, now)
        status["conditions"] = conditions.put(status.get("conditions") or [], fresh)
        idle = not status.get("active") and not status.get("terminating")
        if idle and not status.get("uncountedTerminatedPods"):
            fresh = rules.condition_of(last, "True", verdict.reason, verdict.message, now)
            status["conditions"] = conditions.put(status["conditions"], fresh)
            if verdict.ok:
                status["completionTime"] = stamp(now)
                self._recorder.event(current, "Normal", "Completed", "Job completed")
            else:
                self._recorder.event(current, "Warning", verdict.reason, verdict.message)
            self._pauses.pop(current["metadata"]["uid"], None)
        await self._store(key, status)

    # What wakes it.

    def _job_changed(self, old: Json | None, new: Json | None) -> None:
        self.queue.add(key_of(new or old or {}))
        if new is None and old is not None:
            self._pauses.pop(old["metadata"]["uid"], None)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            for name in by_job(pod) if pod is not None else ():
                self.queue.add_after(Key(*name.split("/")), BATCH_S)
