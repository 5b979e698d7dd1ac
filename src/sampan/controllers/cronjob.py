"""CronJobs: make a Job when it is due, by the rules for overlaps, lateness and history."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.controllers.job_rules import is_finished, is_true
from sampan.controllers.owners import BY_CONTROLLER, controller_of, controller_reference
from sampan.controllers.stamps import created, seconds, stamp
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller
from sampan.resources.batch.schedule import Schedule, ScheduleError, parse

ACCOUNT = "cronjob-controller"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100
"""Missed runs beyond which something is wrong with the clock or the deadline."""


def cronjob(deps: Deps) -> Component:
    reconciler = CronJobs(deps)
    waits = (reconciler.cronjobs, reconciler.jobs)
    return Controller(reconciler, reconciler.queue, workers=4, wait_for=waits)


class Due(NamedTuple):
    """The latest missed run, how many were missed, and the next one (epoch seconds)."""

    last: float | None
    missed: int
    following: float | None


class CronJobs:
    """The reconciler."""

    name = "cronjob"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._clock = deps.clock
        self._client = deps.client_of(ACCOUNT)
        self._recorder = deps.recorder(ACCOUNT)
        self.cronjobs = deps.informers.of(kinds.CRONJOBS)
        self.jobs = deps.informers.of(kinds.JOBS, indexers=BY_CONTROLLER)
        self.cronjobs.on_change(lambda old, new: self.queue.add(key_of(new or old or {})))
        self.jobs.on_change(self._job_changed)

    async def reconcile(self, key: Key) -> float | None:
        cron = self.cronjobs.get(key)
        if cron is None or cron["metadata"].get("deletionTimestamp"):
            return None
        children = self.jobs.by("controller", cron["metadata"]["uid"])
        await self._trim(cron, children)
        cron = await self._with_all(cron, children)
        status = self._settled(cron, children)
        spec = cron["spec"]
        rule = self._rule(cron)
        if rule is None:
            await self._tell(cron, status)
            return None
        due = due_of(cron, status, rule, self._clock.now())
        if due.last is None and due.following is None:
            text = (
                f"invalid schedule: {spec['schedule']} : time difference between two schedules is "
                "less than 1 second"
            )
            self._recorder.event(cron, "Warning", "InvalidSchedule", text)
        if due.last is not None and not spec.get("suspend"):
            await self._run(cron, status, due)
        await self._tell(cron, status)
        if due.following is None or spec.get("suspend"):
            return None
        # Time stamps have whole seconds: a little later it is due by any reading.
        return max(0.05, due.following - self._clock.now() + 0.05)

    def _rule(self, cron: Json) -> tuple[Schedule, tzinfo] | None:
        """The schedule and its time zone; what is wrong with them is told."""
        text, zone = cron["spec"]["schedule"], cron["spec"].get("timeZone")
        try:
            found = _zone(zone)
        except (ValueError, OSError, KeyError):
            problem = f'invalid timeZone: "{zone}": unknown time zone {zone}'
            self._recorder.event(cron, "Warning", "UnknownTimeZone", problem)
            return None
        try:
            return parse(text), found
        except ScheduleError as error:
            problem = f'unparseable schedule: "{text}" : {error}'
            self._recorder.event(cron, "Warning", "UnparseableSchedule", problem)
            return None

    async def _run(self, cron: Json, status: Json, due: Due) -> None:
        """Make the Job of the latest missed run, unless a rule forbids it."""
        assert due.last is not None
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None and due.last + float(deadline) < self._clock.now():
            text = f"Missed scheduled time to start a job: {_spoken(due.last)}"
            self._recorder.event(cron, "Warning", "MissSchedule", text)
            return
        if due.missed > TOO_MANY:
            text = (
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
                "check clock skew"
            )
            self._recorder.event(cron, "Warning", "TooManyMissedTimes", text)
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        running = status.get("active") or []
        if policy == "Forbid" and running:
            text = (
                "Not starting job because prior execution is running and concurrency policy is "
                "Forbid"
            )
            self._recorder.event(cron, "Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            for reference in running:
                await self._delete(cron, reference["name"])
            status["active"] = []
        await self._start(cron, status, due.last)

    async def _start(self, cron: Json, status: Json, at: float) -> None:
        wished = job_for(cron, at)
        name = wished["metadata"]["name"]
        namespace = cron["metadata"]["namespace"]
        try:
            made = await self._client.create(kinds.JOBS, wished)
            self._recorder.event(cron, "Normal", "SuccessfulCreate", f"Created job {name}")
        except AlreadyExists:
            # Made in an earlier round whose status got lost.
            there = await self._client.find(kinds.JOBS, name, namespace)
            if there is None or (controller_of(there) or {}).get("uid") != cron["metadata"]["uid"]:
                return
            made = there
        except ApiError as error:
            self._recorder.event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        if not is_finished(made):
            known = [item for item in status.get("active") or () if item["name"] != name]
            status["active"] = [*known, _reference(made)]
        status["lastScheduleTime"] = stamp(at)

    async def _with_all(self, cron: Json, children: Sequence[Json]) -> Json:
        """The CronJob as new as its Jobs: one that it does not know may be its own, just made."""
        if not _unknown(cron, children):
            return cron
        meta = cron["metadata"]
        fresh = await self._client.find(kinds.CRONJOBS, meta["name"], meta["namespace"])
        if fresh is None or fresh["metadata"]["uid"] != meta["uid"]:
            return cron
        for child in _unknown(fresh, children):
            name = child["metadata"]["name"]
            text = f"Saw a job that the controller did not create or forgot: {name}"
            self._recorder.event(cron, "Warning", "UnexpectedJob", text)
        return fresh

    def _settled(self, cron: Json, children: Sequence[Json]) -> Json:
        """The status without Jobs that ended or went, and with the last success."""
        status = dict(cron.get("status") or {})
        by_uid = {child["metadata"]["uid"]: child for child in children}
        active = []
        for reference in status.get("active") or ():
            child = by_uid.get(reference["uid"])
            if child is None:
                text = f"Active job went missing: {reference['name']}"
                self._recorder.event(cron, "Normal", "MissingJob", text)
            elif is_finished(child):
                how = "Complete" if is_true(child, "Complete") else "Failed"
                text = f"Saw completed job: {reference['name']}, condition: {how}"
                self._recorder.event(cron, "Normal", "SawCompletedJob", text)
            else:
                active.append(_reference(child))
        status["active"] = active
        ends = [
            seconds((child.get("status") or {}).get("completionTime"))
            for child in children
            if is_true(child, "Complete")
        ]
        latest = max(ends, default=0.0)
        if latest > seconds(status.get("lastSuccessfulTime")):
            status["lastSuccessfulTime"] = stamp(latest)
        return status

    async def _trim(self, cron: Json, children: Sequence[Json]) -> None:
        """Old finished Jobs beyond the limits."""
        spec = cron["spec"]
        for kind, field in (
            ("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit"),
        ):  # fmt: skip
            limit = spec.get(field)
            if limit is None:
                continue
            ended = sorted((c for c in children if is_true(c, kind)), key=created)
            for child in ended[: max(0, len(ended) - int(limit))]:
                await self._delete(cron, child["metadata"]["name"])

    async def _delete(self, cron: Json, name: str) -> None:
        namespace = cron["metadata"]["namespace"]
        await self._client.delete(kinds.JOBS, name, namespace, propagation="Background")
        self._recorder.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    async def _tell(self, cron: Json, status: Json) -> None:
        clean = {name: value for name, value in status.items() if value}
        shown = {name: value for name, value in (cron.get("status") or {}).items() if value}
        if clean != shown:
            try:
                wished = {**cron, "status": clean}
                await self._client.update(kinds.CRONJOBS, wished, subresource="status")
            except NotFound:
                return

    def _job_changed(self, old: Json | None, new: Json | None) -> None:
        child = new or old or {}
        reference = controller_of(child)
        if reference is not None and reference["kind"] == kinds.CRONJOBS.kind:
            self.queue.add(Key(child["metadata"]["namespace"], reference["name"]))


def _unknown(cron: Json, children: Sequence[Json]) -> list[Json]:
    known = {item["uid"] for item in (cron.get("status") or {}).get("active") or ()}
    return [
        child
        for child in children
        if child["metadata"]["uid"] not in known and not is_finished(child)
    ]


def due_of(cron: Json, status: Json, rule: tuple[Schedule, tzinfo], now: float) -> Due:
    """The runs since the last one (or since creation, or within the deadline) up to now."""
    schedule, zone = rule
    since = seconds(status.get("lastScheduleTime")) or created(cron)
    deadline = cron["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - float(deadline))
    last, missed = None, 0
    moment: datetime | None = datetime.fromtimestamp(since, tz=UTC).astimezone(zone)
    while moment is not None:
        moment = schedule.following(moment)
        if moment is None or moment.timestamp() > now:
            break
        last, missed = moment.timestamp(), missed + 1
    return Due(last, missed, moment.timestamp() if moment else None)


def job_for(cron: Json, at: float) -> Json:
    """The Job of one run; its name tells the minute, so that a run is never made twice."""
    template = cron["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    notes = {**(meta.get("annotations") or {})}
    zone = _zone(cron["spec"].get("timeZone"))
    notes[SCHEDULED_AT] = datetime.fromtimestamp(at, tz=UTC).astimezone(zone).isoformat()
    notes[SCHEDULED_AT] = notes[SCHEDULED_AT].replace("+00:00", "Z")
    return {
        "metadata": {
            "name": f"{cron['metadata']['name']}-{int(at) // 60}",
            "namespace": cron["metadata"]["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": notes,
            "ownerReferences": [controller_reference(kinds.CRONJOBS, cron)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _zone(name: str | None) -> tzinfo:
    return ZoneInfo(name) if name else datetime.now().astimezone().tzinfo or UTC


def _spoken(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")


def _reference(job: Json) -> Json:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }
