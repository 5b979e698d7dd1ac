"""ReplicaSet: keeps a number of pods of one template."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.apps import workload
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    pods.default_template(spec.setdefault("template", {}))
    obj.setdefault("status", {}).setdefault("replicas", 0)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new.get("status") or {})
    spec = new["spec"]
    wanted, template = spec.get("selector"), spec.get("template") or {}
    errors = rules.all_nonnegative("spec", spec, ("replicas", "minReadySeconds"))
    # "deployment" is upstream's word here too.
    errors += workload.selector("spec.selector", wanted, "deployment")
    errors += workload.selects_template("spec.template", wanted, template)
    before = old["spec"].get("template") if old else None
    if workload.selects(wanted):
        errors += workload.template("spec.template", template, before, "ReplicaSet")
    if old is not None:
        errors += rules.immutable("spec.selector", wanted, old["spec"].get("selector"))
    return errors


def _status(status: Json) -> Errors:
    fields = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    errors = workload.counters(status, fields, ("observedGeneration", "terminatingReplicas"))
    return errors + rules.at_most(
        "status", status, ("availableReplicas",), "readyReplicas", "readyReplicas"
    )


REPLICASET = Resource(
    id=kinds.REPLICASETS,
    schema="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    metadata_checks="changes",
    short=("rs",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    warnings=workload.warnings,
    columns=(
        cells.NAME,
        workload.number("Desired", "spec", "replicas"),
        workload.number("Current", "status", "replicas"),
        workload.number("Ready", "status", "readyReplicas"),
        cells.AGE,
        workload.CONTAINERS,
        workload.IMAGES,
        workload.SELECTOR,
    ),
    subresources=(workload.SCALE, workload.status_of(kinds.REPLICASETS)),
)
