"""CronJob: makes a Job whenever its schedule says so."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource, Subresource
from sampan.resources import cells, labels, rules
from sampan.resources.apps import workload
from sampan.resources.batch import jobspec, schedule
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors

NAME_LIMIT = 52
"""A Job's name adds eleven characters, and must be a label."""


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    jobspec.default_failure_policy(job.get("podFailurePolicy"))
    pods.default_template(job.setdefault("template", {}))


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return []
    name = new["metadata"].get("name", "")
    errors = _spec(new["spec"], old["spec"] if old else None)
    if old is None and len(name) > NAME_LIMIT:
        says = f"must be no more than {NAME_LIMIT} characters"
        errors += rules.invalid("metadata.name", name, says)
    return errors


def _spec(spec: Json, old: Json | None) -> Errors:
    errors = _schedule(spec, old)
    deadline = spec.get("startingDeadlineSeconds")
    errors += rules.nonnegative("spec.startingDeadlineSeconds", deadline)
    if old is None or spec.get("timeZone") != old.get("timeZone"):
        errors += _time_zone(spec.get("timeZone"))
    policy = spec.get("concurrencyPolicy")
    errors += rules.one_of("spec.concurrencyPolicy", policy, ["Allow", "Forbid", "Replace"])
    errors += _job(spec["jobTemplate"].get("spec") or {}, old)
    limits = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    return errors + rules.all_nonnegative("spec", spec, limits)


def _schedule(spec: Json, old: Json | None) -> Errors:
    path, text = "spec.schedule", spec.get("schedule", "")
    if not text:
        return rules.required(path)
    errors: Errors = []
    try:
        schedule.parse(text)
    except schedule.ScheduleError as error:
        errors += rules.invalid(path, text, str(error))
    if "TZ" not in text:
        return errors
    if not (old and "TZ" in old.get("schedule", "")):
        says = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors += rules.invalid(path, text, says)
    elif spec.get("timeZone") is not None:
        says = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors += rules.invalid(path, text, says)
    return errors


def _time_zone(zone: str | None) -> Errors:
    path = "spec.timeZone"
    if zone is None:
        return []
    if not zone:
        return rules.invalid(path, zone, "timeZone must be nil or non-empty string")
    if zone.lower() == "local":
        says = (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        return rules.invalid(path, zone, says)
    import zoneinfo  # Only ever needed here.

    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return rules.invalid(path, zone, f"unknown time zone {zone}")
    return []


def _job(spec: Json, old: Json | None) -> Errors:
    path = "spec.jobTemplate.spec"
    before = old["jobTemplate"].get("spec") if old else None
    errors = jobspec.validate(spec, path, before)
    if spec.get("selector") is not None:
        says = "`selector` will be auto-generated"
        errors += rules.invalid(f"{path}.selector", spec["selector"], says)
    if spec.get("manualSelector"):
        errors += rules.not_supported(f"{path}.manualSelector", True, ["nil", "false"])
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    texts = workload.name_warnings(new, old)
    job = new["spec"]["jobTemplate"].get("spec") or {}
    before = old and (old["spec"]["jobTemplate"].get("spec") or {}).get("template")
    path = "spec.jobTemplate.spec.template"
    texts += pods.template_warnings(job.get("template") or {}, path, before or None)
    if "TZ" in new["spec"].get("schedule", ""):
        texts.append(
            "cannot use TZ or CRON_TZ in schedule, use timeZone instead; see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    return texts


def _job_pod(obj: Json) -> Json:
    template = (obj["spec"]["jobTemplate"].get("spec") or {}).get("template") or {}
    found: Json = template.get("spec") or {}
    return found


def _last(obj: Json, now: float) -> str:
    last = obj.get("status", {}).get("lastScheduleTime")
    return cells.since(last, now) if last else cells.NONE


def _selector(obj: Json) -> str:
    return labels.text((obj["spec"]["jobTemplate"].get("spec") or {}).get("selector"))


CRONJOB = Resource(
    id=kinds.CRONJOBS,
    schema="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    metadata_checks="changes",
    status_metadata_checks="none",
    short=("cj",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Schedule", cells.field("spec", "schedule")),
        cells.column("Timezone", cells.field("spec", "timeZone", default=cells.NONE)),
        cells.column(
            "Suspend", lambda obj: cells.truth(obj["spec"].get("suspend")), type="boolean"
        ),
        cells.column(
            "Active", lambda obj: len(obj.get("status", {}).get("active") or ()), type="integer"
        ),
        Column("Last Schedule", _last),
        cells.AGE,
        cells.column("Containers", lambda obj: cells.pod_containers(_job_pod(obj)), priority=1),
        cells.column("Images", lambda obj: cells.pod_images(_job_pod(obj)), priority=1),
        cells.column("Selector", _selector, priority=1),
    ),
    subresources=(Subresource("status", kinds.CRONJOBS),),
)
