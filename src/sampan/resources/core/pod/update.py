"""What may change in a pod that exists, and through which door."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.core.difference import difference
from sampan.resources.core.pod.annotations import MIRROR
from sampan.resources.core.pod.scheduling import validate_tolerations
from sampan.resources.rules import WHOLE, Errors, each, forbidden, invalid, required

MAX_INT32 = 2**31 - 1
UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
        "negative)",
    )
)
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_update(spec: Json, before: Json) -> Errors:
    errors: Errors = []
    for field in ("containers", "initContainers"):
        now, was = spec.get(field) or (), before.get(field) or ()
        if len(now) != len(was):
            says = "pod updates may not add or remove containers"
            return errors + forbidden(f"spec.{field}", says)
        errors += _images(f"spec.{field}", now)
    wrong = _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    if wrong and spec.get("activeDeadlineSeconds") is not None:
        return errors + wrong
    errors += wrong
    tolerations = spec.get("tolerations") or ()
    errors += _tolerations(tolerations, before.get("tolerations") or ())
    errors += _gates(spec.get("schedulingGates") or (), before.get("schedulingGates") or ())
    if spec == before:
        return errors
    compared = _comparable(spec, before)
    if before.get("schedulingGates"):
        errors += _gated(compared, spec, before)
    if compared != before:
        errors += _names_changed(compared, before) or forbidden(
            "spec",
            f"pod updates may not change fields other than {UPDATABLE}\n"
            f"{difference(before, compared, 'PodSpec')}",
        )
    return errors


def cannot_be_looked_into(old: Json) -> Errors:
    """Pods that take no ephemeral containers; nothing else is told then."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return forbidden(WHOLE, "static pods do not support ephemeral containers")
    return []


def validate_ephemeral_update(new: Json, old: Json) -> Errors:
    path = "spec.ephemeralContainers"
    now = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    errors: Errors = []
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container.get("name")
        shown = f'existing ephemeral containers "{name}" may not be'
        if name not in now:
            errors += forbidden(path, f"{shown} removed\n")
        elif now[name] != container:
            changed = difference(container, now[name], "EphemeralContainer")
            errors += forbidden(path, f"{shown} changed\n{changed}")
    return errors


def _images(path: str, containers: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, container in enumerate(containers):
        image = container.get("image") or ""
        if not image:
            errors += required(f"{path}[{at}].image")
        if image != image.strip():
            says = "must not have leading or trailing whitespace"
            errors += invalid(f"{path}[{at}].image", image, says)
    return errors


def _deadline(now: int | None, was: int | None) -> Errors:
    """It may be set, and then only come nearer."""
    path = "spec.activeDeadlineSeconds"
    if now is None:
        says = "must not update from a positive integer to nil value"
        return invalid(path, None, says) if was is not None else []
    if not 0 <= now <= MAX_INT32:
        return each(path, now, names.in_range(now, 0, MAX_INT32))
    if was is not None and was < now:
        return invalid(path, now, "must be less than or equal to previous value")
    return []


def _tolerations(now: Sequence[Json], was: Sequence[Json]) -> Errors:
    def key(toleration: Json) -> Json:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    kept = [key(toleration) for toleration in now]
    if any(key(toleration) not in kept for toleration in was):
        says = "existing toleration can not be modified except its tolerationSeconds"
        return forbidden("spec.tolerations", says)
    return validate_tolerations("spec.tolerations", now) if now != was else []


def _gates(now: Sequence[Json], was: Sequence[Json]) -> Errors:
    known = {gate.get("name") for gate in was}
    errors: Errors = []
    for at, gate in enumerate(now):
        if gate.get("name") not in known:
            says = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors += forbidden(f"spec.schedulingGates[{at}].name", says)
    return errors


def _comparable(spec: Json, before: Json) -> Json:
    """The spec with everything that may change set back."""
    same = dict(spec)
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(same, field, before)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            pairs = zip(spec[field], before[field], strict=True)
            same[field] = [{**now, "image": was.get("image", "")} for now, was in pairs]
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        same["terminationGracePeriodSeconds"] = grace
    return same


def _names_changed(spec: Json, before: Json) -> Errors:
    """A renamed container is one removed and one added."""
    for field in ("containers", "initContainers"):
        now, was = ([c.get("name") for c in s.get(field) or ()] for s in (spec, before))
        if now != was:
            says = "pod updates may not add or remove containers"
            return forbidden(f"spec.{field}", says)
    return []


def _gated(same: Json, spec: Json, before: Json) -> Errors:
    """A pod that waits at a gate may still be narrowed down to fewer nodes."""
    errors: Errors = []
    now, was = spec.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in was.items()):
        says = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors += invalid("spec.nodeSelector", now, says)
    _take(same, "nodeSelector", before)
    affinity, had = spec.get("affinity") or {}, before.get("affinity") or {}
    if affinity.get("nodeAffinity") != had.get("nodeAffinity"):
        errors += _narrowed(affinity.get("nodeAffinity") or {}, had.get("nodeAffinity") or {})
        others = {k: v for k, v in affinity.items() if k != "nodeAffinity"}
        if "nodeAffinity" in had:
            others["nodeAffinity"] = had["nodeAffinity"]
        if others or "affinity" in before:
            same["affinity"] = others
        else:
            same.pop("affinity", None)
    return errors


def _narrowed(now: Json, was: Json) -> Errors:
    if was.get(REQUIRED_TERMS) is None:
        return []
    old_terms = was[REQUIRED_TERMS].get("nodeSelectorTerms") or []
    terms = (now.get(REQUIRED_TERMS) or {}).get("nodeSelectorTerms") or []
    path = f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms"
    if old_terms and len(terms) != len(old_terms):
        says = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return invalid(path, terms, says)
    errors: Errors = []
    for at, old in enumerate(old_terms):
        if not _only_added(terms[at], old):
            says = "only additions are allowed (no mutations or deletions)"
            errors += invalid(f"{path}[{at}]", terms[at], says)
    return errors


def _only_added(now: Json, was: Json) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(was.get(field) for field in fields):
        return not any(now.get(field) for field in fields)
    return all(
        (now.get(field) or [])[: len(was.get(field) or [])] == (was.get(field) or [])
        for field in fields
    )


def _take(holder: Json, field: str, source: Json) -> None:
    if field in source:
        holder[field] = source[field]
    else:
        holder.pop(field, None)
