"""Job: pods that run to their end, so many times."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource, Subresource
from sampan.resources import cells, labels, rules
from sampan.resources.apps import workload
from sampan.resources.batch import jobspec, jobstatus
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
OLD_UID_LABEL = "controller-uid"
OLD_NAME_LABEL = "job-name"

_NEVER_CHANGES = (
    "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
)  # fmt: skip
_SCHEDULING = ("affinity", "nodeSelector", "tolerations", "schedulingGates")
_MAX_INT = 2147483647


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", _MAX_INT if per_index else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    failure = spec.get("podFailurePolicy")
    jobspec.default_failure_policy(failure)
    spec.setdefault("podReplacementPolicy", "Failed" if failure else "TerminatingOrFailed")
    template = spec.setdefault("template", {})
    pods.default_template(template)
    _take_labels(obj)


def _take_labels(obj: Json) -> None:
    """A Job without labels has those of its pods."""
    of_pods = obj["spec"]["template"].get("metadata", {}).get("labels")
    if of_pods and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(of_pods)


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """Selects its own pods by its uid, unless told otherwise."""
    if old is not None or new["spec"].get("manualSelector"):
        return
    spec, meta = new["spec"], new["metadata"]
    of_pods = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    uid, name = meta.get("uid", ""), meta.get("name", "")
    taken = bool(of_pods) and meta.get("labels") == of_pods
    for label, value in _generated(uid, name).items():
        of_pods.setdefault(label, value)  # A wrong one from the client fails validation.
    if taken:  # Labels that the Job has from its pods follow theirs.
        meta["labels"] = dict(of_pods)
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {}).setdefault(UID_LABEL, uid)
    _take_labels(new)


def _generated(uid: str, name: str) -> dict[str, str]:
    return {OLD_NAME_LABEL: name, NAME_LABEL: name, OLD_UID_LABEL: uid, UID_LABEL: uid}


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return jobstatus.validate(new, old or {})
    spec = new["spec"]
    before = old["spec"] if old is not None else None
    of_spec = jobspec.validate(spec, "spec", before) + _selector(spec)
    errors = _selector_is_own(new, before) + of_spec + _hostname(new)
    if before is None:
        return errors
    return [*errors, rules.METADATA, *of_spec, *_update(new, before, old)]


def _hostname(job: Json) -> Errors:
    """The last index is part of a pod's host name."""
    spec, name = job["spec"], job["metadata"].get("name") or ""
    if spec.get("completionMode") != "Indexed" or (spec.get("completions") or 0) <= 0:
        return []
    longest = f"{name}-{spec['completions'] - 1}"
    says = f"will not able to create pod with invalid DNS label: {longest}"
    return [
        error
        for _ in names.dns1123_label(longest)
        for error in rules.invalid("metadata.name", name, says)
    ][:1]


def _selector(spec: Json) -> Errors:
    wanted = spec.get("selector")
    errors = (
        rules.required("spec.selector")
        if wanted is None
        else rules.label_selector("spec.selector", wanted)
    )
    of_pods = spec["template"].get("metadata", {}).get("labels") or {}
    if wanted is None or (not errors and not labels.matches(wanted, of_pods)):
        says = "`selector` does not match template `labels`"
        path = "spec.template.metadata.labels"
        errors += rules.invalid(path, rules.ordered(of_pods) or None, says)
    return errors


def _shown(selector: Json | None) -> Json | None:
    """A selector with its labels in order."""
    if not selector or not selector.get("matchLabels"):
        return selector
    return {**selector, "matchLabels": rules.ordered(selector["matchLabels"])}


def _selector_is_own(new: Json, before: Json | None) -> Errors:
    """Labels and selector that the server generated must be there as it made them."""
    spec, wanted = new["spec"], new["spec"].get("selector")
    if spec.get("manualSelector") or wanted is None:
        return []
    of_pods = spec["template"].get("metadata", {}).get("labels") or {}
    expected = _generated(new["metadata"].get("uid", ""), new["metadata"].get("name", ""))
    errors: Errors = []
    known = ((before or {}).get("template") or {}).get("metadata", {}).get("labels") or {}
    # Jobs older than the prefixed labels go on without them.
    newer = (UID_LABEL, NAME_LABEL) if before is None or UID_LABEL in known else ()
    for label in (OLD_UID_LABEL, OLD_NAME_LABEL, *newer):
        path, value = f"spec.template.metadata.labels[{label}]", expected[label]
        if label not in of_pods:
            errors += rules.required(path, f"must be '{value}'")
        elif of_pods[label] != value:
            errors += rules.invalid(path, rules.ordered(of_pods), f"must be '{value}'")
    if not rules.label_selector("", wanted) and not labels.matches(wanted, expected):
        errors += rules.invalid("spec.selector", _shown(wanted), "`selector` not auto-generated")
    return errors


def _update(new: Json, before: Json, old: Json | None) -> Errors:
    spec = new["spec"]
    errors = _completions(spec, before)
    errors += rules.immutable(
        "spec.selector", _shown(spec.get("selector")), _shown(before.get("selector"))
    )
    errors += _template_update(spec, before, (old or {}).get("status") or {})
    for field in _NEVER_CHANGES:
        errors += rules.immutable(f"spec.{field}", spec.get(field), before.get(field))
    return errors


def _completions(spec: Json, before: Json) -> Errors:
    now = spec.get("completions")
    if now == before.get("completions"):
        return []
    if spec.get("completionMode") != "Indexed":
        return rules.invalid("spec.completions", now, rules.IMMUTABLE)
    if now is None:
        return []  # that they are required is said by the rules of the spec itself
    if now != spec.get("parallelism"):
        says = "can only be modified in tandem with spec.parallelism"
        return rules.invalid("spec.completions", now, says)
    return []


def _template_update(spec: Json, before: Json, status: Json) -> Errors:
    """A suspended Job that never started may still be told where its pods should go."""
    """A suspended Job none of whose pods run may still be told where they should go, and with
    how much.
    """
    new, old = spec["template"], before["template"]
    if not before.get("suspend"):
        return rules.immutable("spec.template", new, old)
    path, now, was = "spec.template.spec", new.get("spec") or {}, old.get("spec") or {}
    true = {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}
    rests = not status.get("startTime") or "Suspended" in true
    if not rests or status.get("active"):
        return rules.immutable("spec.template", new, old)
    same = _fixed(now, was) == _fixed(was, now)
    return [] if same else rules.invalid(path, now, rules.IMMUTABLE)


def _fixed(pod: Json, other: Json) -> Json:
    """What of a pod's spec never changes, next to what it was or is to be."""
    kept = {k: v for k, v in pod.items() if k not in _SCHEDULING}
    affinity = {k: v for k, v in (pod.get("affinity") or {}).items() if k != "nodeAffinity"}
    if affinity:
        kept["affinity"] = affinity
    for field in ("containers", "initContainers"):
        mine, theirs = pod.get(field) or [], other.get(field) or []
        if len(mine) == len(theirs):
            kept[field] = [
                {k: v for k, v in a.items() if k != "resources" or a.get("name") != b.get("name")}
                for a, b in zip(mine, theirs, strict=True)
            ]
    return kept


def _succeeded(obj: Json) -> str:
    return str(obj.get("status", {}).get("succeeded", 0))


def completions(obj: Json) -> str:
    spec, done = obj["spec"], obj.get("status", {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def duration(obj: Json, now: float) -> str:
    status = obj.get("status", {})
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    start = cells.seconds_of(status["startTime"])
    return cells.human_duration((cells.seconds_of(end) if end else now) - start)


def state(obj: Json) -> str:
    conditions = obj.get("status", {}).get("conditions") or ()
    true = {each["type"] for each in conditions if each.get("status") == "True"}
    for found in ("Complete", "Failed"):
        if found in true:
            return found
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    later = ("Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((found for found in later if found in true), "Running")


JOB = Resource(
    id=kinds.JOBS,
    schema="io.k8s.api.batch.v1.Job",
    singular="job",
    metadata_checks="reversed",
    categories=("all",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=workload.warnings,
    columns=(
        cells.NAME,
        cells.column("Status", state),
        cells.column("Completions", completions),
        Column("Duration", duration),
        cells.AGE,
        workload.CONTAINERS,
        workload.IMAGES,
        workload.SELECTOR,
    ),
    fields={"status.successful": _succeeded},
    unknown_field='field label "{}" not supported for Job',
    subresources=(Subresource("status", kinds.JOBS),),
    orphans=True,
    orphan_warning=(
        "child pods are preserved by default when jobs are deleted; set "
        "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
        "this warning"
    ),
)
