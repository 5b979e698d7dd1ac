"""StatefulSet: pods with an ordinal, a stable name and claims of their own."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.apps import workload
from sampan.resources.core import claim_spec
from sampan.resources.core.pod import template as pods
from sampan.resources.core.pod.warnings import fractional
from sampan.resources.metadata import annotation_rules
from sampan.resources.rules import Errors

_MAY_CHANGE = (
    "replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds", "revisionHistoryLimit",
)  # fmt: skip
_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
    "'minReadySeconds' are forbidden"
)


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
        # Behind a feature gate that is off in this version.
        strategy["rollingUpdate"].pop("maxUnavailable", None)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for moment in ("whenDeleted", "whenScaled"):
        if not retention.get(moment):
            retention[moment] = "Retain"
    spec.setdefault("revisionHistoryLimit", 10)
    pods.default_template(spec.setdefault("template", {}))
    for claim in spec.get("volumeClaimTemplates") or ():
        _default_claim(claim)
    status = obj.setdefault("status", {})
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)


def _default_claim(claim: Json) -> None:
    claim.setdefault("apiVersion", "v1")
    claim.setdefault("kind", "PersistentVolumeClaim")
    claim.setdefault("metadata", {})
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new, old)
    errors = _spec(new["spec"], old["spec"] if old else None)
    if old is not None and _fixed(new["spec"]) != _fixed(old["spec"]):
        errors += rules.forbidden("spec", _FORBIDDEN)
    return errors


def _fixed(spec: Json) -> Json:
    return {name: value for name, value in spec.items() if name not in _MAY_CHANGE}


def _spec(spec: Json, old: Json | None) -> Errors:
    errors = _choice("spec.podManagementPolicy", spec.get("podManagementPolicy"))
    errors += _strategy(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for moment in ("whenDeleted", "whenScaled"):
        path, choice = f"spec.persistentVolumeClaimRetentionPolicy.{moment}", retention.get(moment)
        if choice not in ("Retain", "Delete"):
            errors += rules.not_supported(path, choice, ["Retain", "Delete"])
    if old is None:
        for at, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            path = f"spec.volumeClaimTemplates[{at}].spec"
            errors += claim_spec.validate_spec(path, claim.get("spec") or {})
    errors += rules.all_nonnegative("spec", spec, ("replicas", "minReadySeconds"))
    start = (spec.get("ordinals") or {}).get("start")
    errors += rules.nonnegative("spec.ordinals.start", start)
    service = spec.get("serviceName")
    if service and old is None:
        errors += rules.each("spec.serviceName", service, names.dns1123_label(service))
    wanted, template = spec.get("selector"), spec.get("template") or {}
    errors += workload.selector("spec.selector", wanted, "statefulset")
    errors += workload.selects_template("spec.template", wanted, template, "")
    if not wanted or not rules.label_selector("", wanted):
        errors += _template(spec, template, old)
    return errors + workload.runs_always("spec.template", template, "StatefulSet")


def _template(spec: Json, template: Json, old: Json | None) -> Errors:
    """Upstream asks after labels and annotations a second time."""
    path, meta = "spec.template", template.get("metadata") or {}
    before = old and _with_claims(old["template"], old)
    errors = pods.validate_template(_with_claims(template, spec), path, before)
    errors += rules.labels(f"{path}.labels", meta.get("labels"))
    return errors + annotation_rules(f"{path}.annotations", meta.get("annotations"))


def _with_claims(template: Json, spec: Json) -> Json:
    """The template as the pods will have it: a volume for each claim, which mounts may name, and
    host names of the controller's choosing.
    """
    pod = {
        field: value
        for field, value in template.get("spec", {}).items()
        if field not in ("hostname", "subdomain")
    }
    claimed: dict[str, Json] = {}
    for claim in spec.get("volumeClaimTemplates") or ():
        name = claim.get("metadata", {}).get("name", "")
        claimed[name] = {"name": name, "persistentVolumeClaim": {"claimName": name}}
    if claimed:
        own = [v for v in pod.get("volumes") or () if v.get("name") not in claimed]
        pod["volumes"] = [*claimed.values(), *own]
    return template | {"spec": pod}


def _choice(path: str, policy: str | None) -> Errors:
    if not policy:
        return rules.required(path)
    if policy in ("OrderedReady", "Parallel"):
        return []
    return rules.invalid(path, policy, "must be 'OrderedReady' or 'Parallel'")


def _strategy(strategy: Json) -> Errors:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if not kind:
        return rules.required(path)
    if kind == "OnDelete" and rolling is not None:
        value = {"Partition": rolling.get("partition", 0), "MaxUnavailable": None}
        says = "only allowed for updateStrategy 'RollingUpdate'"
        return rules.invalid(f"{path}.rollingUpdate", value, says)
    if kind == "RollingUpdate":
        return _rolling(f"{path}.rollingUpdate", rolling or {})
    if kind == "OnDelete":
        return []
    value = {"Type": kind, "RollingUpdate": rolling}
    return rules.invalid(path, value, "must be 'RollingUpdate' or 'OnDelete'")


def _rolling(path: str, rolling: Json) -> Errors:
    return rules.nonnegative(f"{path}.partition", rolling.get("partition"))


def warnings(new: Json, old: Json | None) -> list[str]:
    spec = new["spec"]
    found = workload.template_warnings(new, old)
    for at, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        needs, path = (claim.get("spec") or {}).get("resources") or {}, "spec.volumeClaimTemplates"
        for field in ("requests", "limits"):
            where = f"{path}[{at}].resources.{field}"
            found += fractional(where, needs.get(field), ("storage",))
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        found.append(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
            "a value >= 0 is recommended"
        )
    return found


def _status(new: Json, old: Json | None) -> Errors:
    status = new.get("status") or {}
    fields = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    errors = workload.counters(status, fields, ("observedGeneration", "collisionCount"))
    errors += rules.at_most(
        "status", status, ("availableReplicas",), "readyReplicas", "status.readyReplicas"
    )
    before = ((old or {}).get("status") or {}).get("collisionCount")
    return errors + rules.not_decremented(
        "status.collisionCount", status.get("collisionCount"), before
    )


def _ready(obj: Json) -> str:
    return f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"


STATEFULSET = Resource(
    id=kinds.STATEFULSETS,
    schema="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    metadata_checks="changes",
    short=("sts",),
    categories=("all",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Ready", _ready),
        cells.AGE,
        workload.CONTAINERS,
        workload.IMAGES,
    ),
    subresources=(workload.SCALE, workload.status_of(kinds.STATEFULSETS)),
    name_rule=names.name_is_label,
)
