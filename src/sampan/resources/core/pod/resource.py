"""The Pod as the API server knows it."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import options
from sampan.resources.core.pod import phase, strategy
from sampan.resources.core.pod.annotations import (
    validate_annotation_updates,
    validate_annotations,
    validate_profiles_match,
)
from sampan.resources.core.pod.containers import validate_image
from sampan.resources.core.pod.defaults import default_pod
from sampan.resources.core.pod.resize import cannot_resize, validate_resize
from sampan.resources.core.pod.spec import validate_spec
from sampan.resources.core.pod.status import validate_status
from sampan.resources.core.pod.update import (
    cannot_be_looked_into,
    validate_ephemeral_update,
    validate_update,
)
from sampan.resources.core.pod.warnings import pod_warnings
from sampan.resources.rules import Errors, forbidden

TERMINAL = ("Succeeded", "Failed")


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if old is None:
        return _whole(new) + _create(new)
    notes, had = (each["metadata"].get("annotations") or {} for each in (new, old))
    errors: Errors = []
    if subresource != "status" and (new["spec"] != old["spec"] or notes != had):
        errors += _whole(new)
    if notes != had:
        errors += validate_annotation_updates("metadata.annotations", notes, had)
    if subresource == "status":
        return errors + validate_status(new, old)
    if subresource == "ephemeralcontainers":
        return cannot_be_looked_into(old) or errors + validate_ephemeral_update(new, old)
    if subresource == "resize":
        return cannot_resize(old) or errors + validate_resize(new, old)
    return errors + validate_update(new["spec"], old["spec"])


def _whole(pod: Json) -> Errors:
    meta, spec = pod["metadata"], pod["spec"]
    notes = meta.get("annotations")
    errors: Errors = []
    if notes:
        errors += validate_annotations("metadata.annotations", notes, spec)
    errors += validate_spec("spec", spec, pod_name=meta.get("name") or "", is_pod=True)
    if not spec.get("serviceAccountName"):
        errors += _tokens(spec)
    for field in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(field) or ()):
            errors += validate_image(f"spec.{field}[{at}]", container)
    return errors


def _tokens(spec: Json) -> Errors:
    """A token needs an account."""
    errors: Errors = []
    for at, volume in enumerate(spec.get("volumes") or ()):
        for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                path = f"spec.volumes[{at}].projected.sources[{index}].serviceAccountToken"
                says = "must not be specified when serviceAccountName is not set"
                errors += forbidden(path, says)
    return errors


def _create(pod: Json) -> Errors:
    spec = pod["spec"]
    found: Errors = []
    if spec.get("ephemeralContainers"):
        found += forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        says = "cannot be set until all schedulingGates have been cleared"
        found += forbidden("spec.nodeName", says)
    if notes := pod["metadata"].get("annotations"):
        found += validate_profiles_match("spec", notes, spec)
    return found


def grace(pod: Json, asked: int | None) -> int:
    """A pod that no node has, or that has ended, needs no time to stop; a negative time is 1."""
    spec, status = pod["spec"], pod.get("status") or {}
    period = asked if asked is not None else spec.get("terminationGracePeriodSeconds")
    if not spec.get("nodeName") or status.get("phase") in TERMINAL:
        return 0
    if period is None:
        return 30
    return int(period) if period >= 0 else 1


def _spec(field: str) -> Callable[[Json], str]:
    return lambda pod: str(pod["spec"].get(field) or "")


def _status(field: str) -> Callable[[Json], str]:
    return lambda pod: str((pod.get("status") or {}).get(field) or "")


def _host_network(pod: Json) -> str:
    return "true" if pod["spec"].get("hostNetwork") else "false"


POD = Resource(
    id=kinds.PODS,
    schema="io.k8s.api.core.v1.Pod",
    singular="pod",
    short=("po",),
    categories=("all",),
    defaults=default_pod,
    prepare=strategy.prepare,
    validate=validate,
    warnings=pod_warnings,
    columns=phase.COLUMNS,
    row_conditions=phase.row_conditions,
    fields={
        "spec.host": _spec("nodeName"),
        "spec.nodeName": _spec("nodeName"),
        "spec.restartPolicy": _spec("restartPolicy"),
        "spec.schedulerName": _spec("schedulerName"),
        "spec.serviceAccountName": _spec("serviceAccountName"),
        "spec.hostNetwork": _host_network,
        "status.phase": _status("phase"),
        "status.podIP": _status("podIP"),
        # A label that upstream accepts and never fills in.
        "status.podIPs": lambda pod: "",
        "status.nominatedNodeName": _status("nominatedNodeName"),
    },
    subresources=(
        Subresource("attach", options.POD_ATTACH_OPTIONS, options.STREAM_VERBS),
        Subresource("binding", kinds.BINDINGS, ("create",)),
        Subresource("ephemeralcontainers", kinds.PODS),
        Subresource("eviction", kinds.EVICTIONS, ("create",)),
        Subresource("exec", options.POD_EXEC_OPTIONS, options.STREAM_VERBS),
        Subresource("log", kinds.PODS, ("get",)),
        Subresource("portforward", options.POD_PORT_FORWARD_OPTIONS, options.STREAM_VERBS),
        Subresource("proxy", options.POD_PROXY_OPTIONS, options.PROXY_VERBS),
        Subresource("resize", kinds.PODS),
        Subresource("status", kinds.PODS),
    ),
    returns_deleted=True,
    grace=grace,
)
