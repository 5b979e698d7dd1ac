"""The pods of a Job, counted: what runs, what ended, which index is whose, who must pause. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api.kinds import JOBS
from sampan.api.meta import Json
from sampan.controllers import job_rules as rules
from sampan.controllers.owners import controller_of
from sampan.controllers.pods import (
    condition,
    is_active,
    is_ready,
    is_terminal,
    is_terminating,
    phase,
    restarts,
)
from sampan.controllers.stamps import created, seconds
from sampan.std.backoff import Backoff

FAILURE_BACKOFF = Backoff(first_s=10, factor=2, cap_s=600)


class Count:
    """The pods by what they are, with what the status has counted before."""

    def __init__(self, job: Json, pods: Sequence[Json]) -> None:
        status = job.get("status") or {}
        by_kind = {kind: set(uids) for kind, uids in uncounted_in(status).items()}
        fresh = [pod for pod in pods if rules.has_finalizer(pod) and has_ended(job, pod)]
        for pod in fresh:
            kind = counts_as(job, pod)
            if kind:
                by_kind[kind].add(pod["metadata"]["uid"])
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = [p for p in pods if is_terminating(p) and not is_terminal(p)]
        self.indexes = rules.completed_indexes(job, pods)
        self.index_failures = rules.index_failures(job, pods)
        self.failed_indexes = rules.failed_indexes(job, pods) - self.indexes
        self.succeeded = int(status.get("succeeded") or 0) + len(by_kind["succeeded"])
        if rules.is_indexed(job):
            self.succeeded = len(self.indexes)
        self.failed = int(status.get("failed") or 0) + len(by_kind["failed"])
        self.failed_pods = [pod for pod in fresh if rules.is_failed(job, pod)]
        self.fresh_successes = any(phase(pod) == "Succeeded" for pod in fresh)


@dataclass(slots=True)
class _Streak:
    """Failures in a row, and when the last was seen."""

    length: int = 0
    last: float = 0.0

    def left(self, now: float) -> float:
        if not self.length:
            return 0.0
        return max(0.0, self.last + FAILURE_BACKOFF.delay(self.length - 1) - now)


@dataclass(slots=True)
class Pauses:
    """How long to wait after failures before the next pod: for the Job, or for each index where
    indexes fail on their own.
    """

    _seen: set[str] = field(default_factory=set)
    _streaks: dict[int | None, _Streak] = field(default_factory=dict)

    def note(self, job: Json, counted: Count, now: float) -> None:
        """Count the failures that are new; a success ends the streak."""
        own = rules.per_index_limit(job) is not None
        for pod in counted.failed_pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._seen:
                self._seen.add(uid)
                streak = self._streaks.setdefault(rules.index_of(pod) if own else None, _Streak())
                streak.length += 1
                streak.last = now
        if counted.fresh_successes:
            self._streaks.pop(None, None)

    def left(self, indexes: Iterable[int | None], now: float) -> float:
        """Seconds until the first of these may begin."""
        whole = self._streaks.get(None, _Streak()).left(now)
        waits = [self._streaks[i].left(now) for i in indexes if i in self._streaks]
        return max(whole, min(waits, default=0.0))


def has_ended(job: Json, pod: Json) -> bool:
    return phase(pod) == "Succeeded" or rules.is_failed(job, pod)


def finished_in(job: Json, pods: Sequence[Json], *, is_failing: bool) -> list[Json]:
    """The pods to count. A Job that fails takes those with it that still run: they failed too."""
    tracked = (pod for pod in pods if rules.has_finalizer(pod))
    return [pod for pod in tracked if is_failing or has_ended(job, pod)]


def counts_as(job: Json, pod: Json) -> str:
    """`succeeded`, `failed`, or nothing for a failure that a rule ignores."""
    if phase(pod) == "Succeeded":
        return "succeeded"
    if phase(pod) == "Failed" and rules.policy_action(job, pod)[0] == "Ignore":
        return ""
    return "failed"


def uncounted_in(status: Json) -> dict[str, list[str]]:
    """The uids that were noted and still have to be counted."""
    found = status.get("uncountedTerminatedPods") or {}
    return {kind: list(found.get(kind) or ()) for kind in ("succeeded", "failed")}


def free_indexes(job: Json, counted: Count) -> list[int | None]:
    """Indexes that nobody did or does, the lowest first; without indexes as many None."""
    if not rules.is_indexed(job):
        return [None] * (rules.wanted(job, counted.succeeded, len(counted.active)))
    busy = {rules.index_of(pod) for pod in counted.active}
    busy |= counted.indexes | counted.failed_indexes
    return [i for i in range(int(job["spec"].get("completions") or 0)) if i not in busy]


def surplus(job: Json, active: Sequence[Json], count: int) -> list[Json]:
    """Pods to delete, at least `count`: those whose index nobody asks for, or another one does,
    and then those that did the least.
    """
    doomed: list[Json] = []
    if rules.is_indexed(job):
        taken: set[int] = set()
        for pod in sorted(active, key=_done_so_far, reverse=True):
            index = rules.index_of(pod)
            is_asked = index is not None and index < int(job["spec"].get("completions") or 0)
            if index is None or not is_asked or index in taken:
                doomed.append(pod)
            else:
                taken.add(index)
    rest = sorted((pod for pod in active if pod not in doomed), key=_done_so_far)
    return doomed + rest[: max(0, count - len(doomed))]


def _done_so_far(pod: Json) -> tuple[Any, ...]:
    ready_since = seconds((condition(pod, "Ready") or {}).get("lastTransitionTime"))
    return (
        bool(pod["spec"].get("nodeName")),
        phase(pod) == "Running",
        is_ready(pod),
        -ready_since if is_ready(pod) else 0.0,
        -restarts(pod),
        -created(pod),
    )


def give_index(job: Json, pod: Json, index: int, failures: int) -> None:
    """The pod's index, where programs and people look for it."""
    meta, spec = pod["metadata"], pod["spec"]
    notes = {**(meta.get("annotations") or {}), rules.INDEX: str(index)}
    if rules.per_index_limit(job) is not None:
        notes[rules.INDEX_FAILURES] = str(failures)
    meta["annotations"] = notes
    meta["labels"] = {**(meta.get("labels") or {}), rules.INDEX: str(index)}
    spec["hostname"] = f"{job['metadata']['name']}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{rules.INDEX}']"}}
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        env = [e for e in container.get("env") or () if e["name"] != "JOB_COMPLETION_INDEX"]
        container["env"] = [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]


def by_job(pod: Json) -> tuple[str, ...]:
    """For an index: namespace and name of the Job that controls a pod."""
    reference = controller_of(pod)
    if reference is None or reference["kind"] != JOBS.kind:
        return ()
    return (f"{pod['metadata']['namespace']}/{reference['name']}",)
