"""What a Job's status may say, and what may become of it; most is asked of what changed only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sampan.api.errors import OMITTED
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.batch.jobspec import count_indexes
from sampan.resources.rules import Errors

_COUNTERS = ("active", "succeeded", "failed", "ready", "terminating")
_CONDITIONS = "status.conditions"
_TERMINAL = ("Failed", "Complete", "FailureTarget")


def validate(job: Json, old: Json) -> Errors:
    spec, now, was = job["spec"], job.get("status") or {}, old.get("status") or {}
    errors = rules.all_nonnegative("status", now, _COUNTERS)
    errors += _uncounted(now.get("uncountedTerminatedPods") or {})
    has, had = _true(now), _true(was)
    flipped = has ^ had
    errors += _contradictions(has, flipped, ("Failed", "FailureTarget"))
    errors += _times(now, has, _changed(now, was), flipped)
    errors += _needs(has, flipped, _changed(now, was))
    errors += _finished(now, has, had, _changed(now, was), spec)
    errors += _indexes(spec, now, _changed(now, was))
    errors += _rest(spec, now, has, had, _changed(now, was))
    return errors + _transition(spec, now, was, has, had)


def _true(status: Json) -> set[str]:
    return {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}


def _changed(now: Json, was: Json) -> set[str]:
    return {field for field in now.keys() | was.keys() if (now.get(field)) != was.get(field)}


def _condition(says: str) -> Errors:
    return rules.invalid(_CONDITIONS, OMITTED, says)


def _uncounted(pods: Json) -> Errors:
    errors, seen = rules.none(), set[str]()
    for field in ("succeeded", "failed"):
        for at, uid in enumerate(pods.get(field) or ()):
            path = f"status.uncountedTerminatedPods.{field}[{at}]"
            if not uid:
                errors += rules.invalid(path, uid, "must not be empty")
            elif uid in seen:
                errors += rules.duplicate(path, uid)
            seen.add(uid)
    return errors


def _contradictions(has: set[str], flipped: set[str], others: Iterable[str]) -> Errors:
    errors: Errors = []
    for other in others:
        if {"Complete", other} <= has and flipped & {"Complete", other}:
            errors += _condition(f"cannot set Complete=True and {other}=true conditions")
    return errors


def _times(now: Json, has: set[str], changed: set[str], flipped: set[str]) -> Errors:
    path, end, start = "status.completionTime", now.get("completionTime"), now.get("startTime")
    errors: Errors = []
    if "Complete" in flipped or "completionTime" in changed:
        if end and "Complete" not in has:
            says = "cannot set completionTime when there is no Complete=True condition"
            errors += rules.invalid(path, end, says)
        if not end and "Complete" in has:
            errors += rules.required(path, "completionTime is required for Complete jobs")
    if start and end and end < start and changed & {"startTime", "completionTime"}:
        errors += rules.invalid(path, end, "must be equal to or after `startTime`")
    return errors


def _needs(has: set[str], flipped: set[str], changed: set[str]) -> Errors:
    errors: Errors = []
    asked = "Failed" in flipped or "failedIndexes" in changed
    if asked and "Failed" in has and "FailureTarget" not in has:
        says = "cannot set Failed=True condition without the FailureTarget=true condition"
        errors += _condition(says)
    asked = bool(flipped & {"Complete", "SuccessCriteriaMet"})
    if asked and "Complete" in has and "SuccessCriteriaMet" not in has:
        says = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors += _condition(says)
    return errors


def _is_finished(conditions: set[str]) -> bool:
    return bool(conditions & {"Complete", "Failed"})


def _finished(now: Json, has: set[str], had: set[str], changed: set[str], spec: Json) -> Errors:
    if not _is_finished(has):
        return []
    new = not _is_finished(had)
    errors: Errors = []
    if (now.get("active") or 0) > 0 and (new or "active" in changed):
        says = "active>0 is invalid for finished job"
        errors += rules.invalid("status.active", now["active"], says)
    idle = spec.get("suspend") and spec.get("completions") == 0
    if not now.get("startTime") and (new or "startTime" in changed) and not idle:
        errors += rules.required("status.startTime", "startTime is required for finished job")
    pods = now.get("uncountedTerminatedPods") or {}
    asked = new or "uncountedTerminatedPods" in changed
    if asked and (pods.get("failed") or pods.get("succeeded")):
        path = "status.uncountedTerminatedPods"
        errors += rules.invalid(path, pods, "must be empty for finished job")
    return errors


def _indexes(spec: Json, now: Json, changed: set[str]) -> Errors:
    total, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    done, failed = now.get("completedIndexes") or "", now.get("failedIndexes")
    errors: Errors = []
    if "completedIndexes" in changed and total is not None:
        errors += _format("completedIndexes", done, total)
    indexed = total is not None and per_index is not None and failed is not None
    if "failedIndexes" in changed and indexed:
        errors += _format("failedIndexes", str(failed), int(total or 0))
    if "completedIndexes" in changed and done and spec.get("completionMode") != "Indexed":
        says = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors += rules.invalid("status.completedIndexes", done, says)
    if "failedIndexes" in changed and per_index is None and failed is not None:
        says = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors += rules.invalid("status.failedIndexes", failed, says)
    if changed & {"failedIndexes", "completedIndexes"} and total is not None and failed:
        both = set(_each_index(done, total)) & set(_each_index(failed, total))
        if both:
            says = f"failedIndexes and completedIndexes overlap at index: {min(both)}"
            errors += rules.invalid("status.failedIndexes", failed, says)
    return errors


def _format(field: str, text: str, total: int) -> Errors:
    try:
        count_indexes(text, total)
    except ValueError as error:
        return rules.invalid(f"status.{field}", text, f"error parsing {field}: {error}")
    return []


def _each_index(text: str, total: int) -> Iterator[int]:
    """Without intervals that are none; of those, others tell."""
    for interval in text.split(","):
        first, _, last = interval.partition("-")
        good = first.isdigit() and (last or first).isdigit()
        if good and int(last or first) < total:
            yield from range(int(first), int(last or first) + 1)


def _rest(spec: Json, now: Json, has: set[str], had: set[str], changed: set[str]) -> Errors:
    errors: Errors = []
    going, ready = now.get("terminating") or 0, now.get("ready")
    finishes = _is_finished(has) != _is_finished(had)
    if _is_finished(has) and going > 0 and (finishes or "terminating" in changed):
        says = "terminating>0 is invalid for finished job"
        errors += rules.invalid("status.terminating", going, says)
    if changed & {"ready", "active"} and ready is not None and ready > (now.get("active") or 0):
        errors += rules.invalid("status.ready", ready, "cannot set more ready pods than active")
    for other in ("Failed", "FailureTarget"):
        if {"SuccessCriteriaMet", other} <= has:
            errors += _condition(f"cannot set SuccessCriteriaMet=True and {other}=true conditions")
    policy: Any = spec.get("successPolicy")
    if policy is not None and "Complete" in has and "SuccessCriteriaMet" not in has:
        errors += _condition(
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        )
    return errors


def _transition(spec: Json, now: Json, was: Json, has: set[str], had: set[str]) -> Errors:
    errors: Errors = []
    for kind in _TERMINAL:
        if kind in had - has:
            errors += _condition(f"cannot disable the terminal {kind}=True condition")
    scaled = spec.get("completionMode") == "Indexed"
    scaled = scaled and spec.get("completions") == spec.get("parallelism")
    for counter in ("failed", "succeeded"):
        count = now.get(counter) or 0
        if count < (was.get(counter) or 0) and not (counter == "succeeded" and scaled):
            says = f"cannot decrease the {counter} counter"
            errors += rules.invalid(f"status.{counter}", count, says)
    end, ended = now.get("completionTime"), was.get("completionTime")
    if end and ended:
        errors += rules.immutable("status.completionTime", end, ended)
    start, started = now.get("startTime"), was.get("startTime")
    if started and start != started and not spec.get("suspend") and not _resumes(now, had):
        says = "field is immutable for unsuspended job once set"
        errors += rules.invalid("status.startTime", start, says)
    if "SuccessCriteriaMet" in had - has:
        errors += _condition("cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in had and "SuccessCriteriaMet" in has - had:
        errors += _condition(
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        )
    return errors


def _resumes(now: Json, had: set[str]) -> bool:
    runs = any(
        each["type"] == "Suspended" and each["status"] == "False"
        for each in now.get("conditions") or ()
    )
    return runs and "Suspended" in had
