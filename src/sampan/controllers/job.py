"""Jobs: pods until enough of them succeeded.

A pod is counted once, also if this process dies between any two steps: its finalizer keeps it
until its uid is in the status, and the uid stays in the status until the finalizer is gone.

    finished pod with finalizer --> status.uncounted += uid --> finalizer off --> counted, uid off
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.api import kinds, selectors
from sampan.api.errors import ApiError, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.client.client import PatchKind
from sampan.controllers import conditions
from sampan.controllers import job_rules as rules
from sampan.controllers.batch import slow_start
from sampan.controllers.deps import Deps
from sampan.controllers.echo import Echo
from sampan.controllers.owners import BY_CONTROLLER, Claims, controller_of, controller_reference
from sampan.controllers.pods import (
    is_active,
    is_ready,
    is_terminal,
    is_terminating,
    phase,
    pod_from,
)
from sampan.controllers.stamps import stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.std.backoff import Backoff

ACCOUNT = "job-controller"
FAILURE_BACKOFF = Backoff(first_s=10, factor=2, cap_s=600)
BURST = 500


def job(deps: Deps) -> Component:
    reconciler = Jobs(deps)
    return Controller(
        reconciler,
        reconciler.queue,
        workers=deps.settings.concurrent,
        wait_for=(reconciler.jobs, reconciler.pods),
    )


@dataclass(slots=True)
class _Failures:
    """Failures in a row and when the last was, for the pause before the next pod."""

    uids: set[str] = field(default_factory=set)
    last: float = 0.0


class Jobs:
    """The reconciler."""

    name = "job"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self.jobs = deps.informers.of(kinds.JOBS)
        self.pods = deps.informers.of(kinds.PODS, indexers={**BY_CONTROLLER, "job": _by_job})
        self._claims = Claims(self._client, kinds.JOBS, kinds.PODS)
        self._echo = Echo(self.pods, deps.clock)
        self._own_echo = Echo(self.jobs, deps.clock)
        self._failures: dict[str, _Failures] = {}
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
        counted = _Count(found, pods)
        self._note_failures(found, counted, now)
        verdict = rules.standing_verdict(found) or rules.verdict(
            found, pods, (len(counted.active), counted.succeeded, counted.failed), now
        )
        status = dict(found.get("status") or {})
        wait: float | None = None
        problem: Exception | None = None
        active = counted.active
        if verdict is not None or rules.is_suspended(found):
            await asyncio.gather(*(self._delete(found, key, pod) for pod in active))
            active = []
        elif not found["metadata"].get("deletionTimestamp"):
            made, wait, problem = await self._manage(found, key, counted)
            active = [*active, *made]
        self._suspend_or_resume(found, status, now)
        _put_counts(status, active, counted)
        await self._count_finished(key, found, status, pods)
        if verdict is not None:
            await self._end(key, verdict)
        if problem is not None:
            raise problem
        deadline = rules.deadline_in(found, now)
        return min((w for w in (wait, deadline) if w), default=None)

    # Pods.

    async def _manage(
        self, found: Json, key: Key, counted: _Count
    ) -> tuple[list[Json], float | None, Exception | None]:
        """Make or delete pods: (those made, seconds to wait, what went wrong)."""
        active = list(counted.active)
        busy = len(active)
        if found["spec"].get("podReplacementPolicy") == "Failed":
            busy += len(counted.terminating)
        missing = rules.wanted(found, counted.succeeded, len(active)) - busy
        if missing < 0:
            doomed = sorted(active, key=lambda pod: (is_ready(pod), phase(pod) == "Running"))
            await asyncio.gather(*(self._delete(found, key, p) for p in doomed[:-missing]))
            return [], None, None
        wait = self._pause(found)
        if missing == 0 or wait:
            return [], wait, None
        indexes = _free_indexes(found, counted)
        made: list[Json] = []

        async def one() -> None:
            made.append(await self._create(found, key, indexes.pop(0) if indexes else None))

        count = min(missing, BURST, len(indexes) if rules.is_indexed(found) else BURST)
        _, problem = await slow_start(count, one)
        return made, None, problem

    async def _create(self, found: Json, key: Key, index: int | None) -> Json:
        template = found["spec"]["template"]
        reference = controller_reference(kinds.JOBS, found)
        name = key.name if index is None else f"{key.name}-{index}"
        pod = pod_from(template, name, reference)
        pod["metadata"]["finalizers"] = [rules.FINALIZER]
        if index is not None:
            _give_index(pod, name, index)
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

    async def _delete(self, found: Json, key: Key, pod: Json) -> None:
        """Its finalizer first: a pod that we no longer want is no failure."""
        meta = pod["metadata"]
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
        if fresh["metadata"].get("deletionTimestamp") is None:
            self._echo.wrote(key, fresh)

    # Counting.

    async def _count_finished(
        self, key: Key, found: Json, status: Json, pods: Sequence[Json]
    ) -> None:
        """The three steps of the picture above."""
        finished = [pod for pod in pods if rules.has_finalizer(pod) and _has_ended(found, pod)]
        uncounted = _uncounted(status)
        for pod in finished:
            kind = _counts_as(found, pod)
            uid = pod["metadata"]["uid"]
            if kind and uid not in uncounted["succeeded"] and uid not in uncounted["failed"]:
                uncounted[kind].append(uid)
        if rules.is_indexed(found):
            status["completedIndexes"] = rules.written(rules.completed_indexes(found, pods))
        status["uncountedTerminatedPods"] = {k: v for k, v in uncounted.items() if v}
        if any(uncounted.values()):
            await self._store(key, status)
            await self._let_go(key, finished)
            status["succeeded"] = status.get("succeeded", 0) + len(uncounted["succeeded"])
            status["failed"] = status.get("failed", 0) + len(uncounted["failed"])
            if rules.is_indexed(found):
                done = rules.parse_indexes(status["completedIndexes"])
                status["succeeded"] = len(done)
            status["uncountedTerminatedPods"] = {}
        elif finished:
            await self._let_go(key, finished)
        await self._store(key, status)

    async def _store(self, key: Key, status: Json) -> None:
        """Against the newest version: the status is ours alone."""
        kept = ("uncountedTerminatedPods", "ready", "terminating")
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
            self._failures.pop(current["metadata"]["uid"], None)
        await self._store(key, status)

    # The pause after failures.

    def _note_failures(self, found: Json, counted: _Count, now: float) -> None:
        known = self._failures.setdefault(found["metadata"]["uid"], _Failures())
        fresh = counted.failed_uids - known.uids
        if fresh:
            known.uids |= fresh
            known.last = now
        if counted.fresh_successes:
            known.uids.clear()

    def _pause(self, found: Json) -> float | None:
        known = self._failures.get(found["metadata"]["uid"])
        if known is None or not known.uids:
            return None
        left = known.last + FAILURE_BACKOFF.delay(len(known.uids) - 1) - self._clock.now()
        return left if left > 0 else None

    # What wakes it.

    def _job_changed(self, old: Json | None, new: Json | None) -> None:
        self.queue.add(key_of(new or old or {}))
        if new is None and old is not None:
            self._failures.pop(old["metadata"]["uid"], None)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            for name in _by_job(pod) if pod is not None else ():
                self.queue.add(Key(*name.split("/")))


class _Count:
    """The pods of a Job by what they are."""

    def __init__(self, job: Json, pods: Sequence[Json]) -> None:
        status = job.get("status") or {}
        known = _uncounted(status)
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = [p for p in pods if is_terminating(p) and not is_terminal(p)]
        fresh = [pod for pod in pods if rules.has_finalizer(pod) and _has_ended(job, pod)]
        by_kind: dict[str, set[str]] = {"succeeded": set(known["succeeded"])}
        by_kind["failed"] = set(known["failed"])
        for pod in fresh:
            kind = _counts_as(job, pod)
            if kind:
                by_kind[kind].add(pod["metadata"]["uid"])
        self.indexes = rules.completed_indexes(job, pods)
        self.succeeded = int(status.get("succeeded") or 0) + len(by_kind["succeeded"])
        if rules.is_indexed(job):
            self.succeeded = len(self.indexes)
        self.failed = int(status.get("failed") or 0) + len(by_kind["failed"])
        self.failed_uids = {p["metadata"]["uid"] for p in pods if rules.is_failed(job, p)}
        self.fresh_successes = any(phase(pod) == "Succeeded" for pod in fresh)


def _has_ended(job: Json, pod: Json) -> bool:
    return phase(pod) == "Succeeded" or rules.is_failed(job, pod)


def _counts_as(job: Json, pod: Json) -> str:
    """`succeeded`, `failed`, or nothing for a failure that a rule ignores."""
    if phase(pod) == "Succeeded":
        return "succeeded"
    if phase(pod) == "Failed" and rules.policy_action(job, pod)[0] == "Ignore":
        return ""
    return "failed"


def _uncounted(status: Json) -> dict[str, list[str]]:
    found = status.get("uncountedTerminatedPods") or {}
    return {kind: list(found.get(kind) or ()) for kind in ("succeeded", "failed")}


def _put_counts(status: Json, active: Sequence[Json], counted: _Count) -> None:
    status["active"] = len(active)
    status["ready"] = sum(is_ready(pod) for pod in active)
    status["terminating"] = len(counted.terminating)


def _free_indexes(job: Json, counted: _Count) -> list[int]:
    """Indexes that nobody did or does, the lowest first."""
    if not rules.is_indexed(job):
        return []
    busy = {rules.index_of(pod) for pod in counted.active} | counted.indexes
    return [i for i in range(int(job["spec"].get("completions") or 0)) if i not in busy]


def _give_index(pod: Json, name: str, index: int) -> None:
    meta = pod["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), rules.INDEX: str(index)}
    meta["labels"] = {**(meta.get("labels") or {}), rules.INDEX: str(index)}
    spec = pod["spec"]
    spec["hostname"] = name
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{rules.INDEX}']"}}
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        env = [e for e in container.get("env") or () if e["name"] != "JOB_COMPLETION_INDEX"]
        container["env"] = [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]


def _by_job(pod: Json) -> tuple[str, ...]:
    reference = controller_of(pod)
    if reference is None or reference["kind"] != kinds.JOBS.kind:
        return ()
    return (f"{pod['metadata']['namespace']}/{reference['name']}",)
