"""The ReplicationController: the ReplicaSet's older brother, with a plain map as selector."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, labels
from sampan.resources.core.pod import template
from sampan.resources.rules import (
    Errors,
    all_nonnegative,
    at_most,
    forbidden,
    invalid,
    nonnegative,
    not_supported,
    ordered,
    required,
)

COUNTERS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def defaults(rc: Json) -> None:
    """The labels of the template serve as selector and labels, where there are none."""
    spec = rc.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    pod = spec.get("template")
    rc.setdefault("status", {}).setdefault("replicas", 0)
    if pod is None:
        return
    template.default_template(pod)
    own = (pod.get("metadata") or {}).get("labels")
    if own:
        if not spec.get("selector"):
            spec["selector"] = dict(own)
        if not rc["metadata"].get("labels"):
            rc["metadata"]["labels"] = dict(own)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new.get("status") or {})
    spec = new["spec"]
    errors = nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if not spec.get("selector"):
        errors += required("spec.selector")
    errors += nonnegative("spec.replicas", spec.get("replicas"))
    return errors + _template(spec, old["spec"].get("template") if old else None)


def warnings(new: Json, old: Json | None) -> list[str]:
    pod = new["spec"].get("template")
    return template.template_warnings(pod, "spec.template") if pod else []


def _template(spec: Json, before: Json | None) -> Errors:
    path, pod = "spec.template", spec.get("template")
    if pod is None:
        return required(path)
    errors: Errors = []
    own = (pod.get("metadata") or {}).get("labels") or {}
    if any(own.get(key) != value for key, value in (spec.get("selector") or {}).items()):
        says = "`selector` does not match template `labels`"
        errors += invalid(f"{path}.metadata.labels", ordered(own) or None, says)
    errors += template.validate_template(pod, path, before)
    restart = pod["spec"].get("restartPolicy")
    if restart != "Always":
        errors += not_supported(f"{path}.spec.restartPolicy", restart, ("Always",))
    if pod["spec"].get("activeDeadlineSeconds") is not None:
        says = "activeDeadlineSeconds in ReplicationController is not Supported"
        errors += forbidden(f"{path}.spec.activeDeadlineSeconds", says)
    return errors


def _status(status: Json) -> Errors:
    path = "status"
    errors = all_nonnegative(path, status, ("replicas", *COUNTERS, "observedGeneration"))
    errors += at_most(path, status, COUNTERS, "replicas", "status.replicas")
    available = ("availableReplicas",)
    return errors + at_most(path, status, available, "readyReplicas", "readyReplicas")


def _status_field(rc: Json, field: str) -> int:
    return int((rc.get("status") or {}).get(field) or 0)


def _pod_spec(rc: Json) -> Json:
    spec: Json = (rc["spec"].get("template") or {}).get("spec") or {}
    return spec


REPLICATIONCONTROLLER = Resource(
    id=kinds.REPLICATIONCONTROLLERS,
    schema="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    metadata_checks="changes",
    short=("rc",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Desired", lambda rc: rc["spec"].get("replicas", 0), type="integer"),
        cells.column("Current", lambda rc: _status_field(rc, "replicas"), type="integer"),
        cells.column("Ready", lambda rc: _status_field(rc, "readyReplicas"), type="integer"),
        cells.AGE,
        cells.column("Containers", lambda rc: cells.pod_containers(_pod_spec(rc)), priority=1),
        cells.column("Images", lambda rc: cells.pod_images(_pod_spec(rc)), priority=1),
        cells.column(
            "Selector", lambda rc: labels.set_text(rc["spec"].get("selector")), priority=1
        ),
    ),
    name_rule=names.long_name,
    fields={"status.replicas": lambda rc: str(_status_field(rc, "replicas"))},
    subresources=(
        Subresource("scale", kinds.SCALES),
        Subresource("status", kinds.REPLICATIONCONTROLLERS),
    ),
    orphans=True,
)
