"""APIService: who serves a version of a group: this server, or another behind a Service."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import METADATA_OF_STATUS, Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def local_condition(now: str) -> Json:
    """What the status of a version that this server serves itself says."""
    return {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return []
    spec, meta = new.get("spec") or {}, new["metadata"]
    group, version = spec.get("group", ""), spec.get("version", "")
    wanted = f"{version}.{group}"
    errors: Errors = []
    for field in ("generateName", "name"):
        text = meta.get(field)
        if text and text != wanted and not names.path_segment(text):
            says = f'must be `spec.version+"."+spec.group`: "{wanted}"'
            errors += rules.invalid(f"metadata.{field}", text, says)
    if group:
        errors += rules.each("spec.group", group, names.dns1123_subdomain(group))
    elif version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        errors += rules.required("spec.group", detail)
    errors += rules.each("spec.version", version, names.dns1035_label(version))
    errors += _priority("spec.groupPriorityMinimum", spec.get("groupPriorityMinimum", 0), 20000)
    errors += _priority("spec.versionPriority", spec.get("versionPriority", 0), 1000)
    return errors + _backend(spec)


def _priority(path: str, value: int, most: int) -> Errors:
    if 0 < value <= most:
        return []
    return rules.invalid(path, value, f"must be positive and less than {most}")


def _backend(spec: Json) -> Errors:
    service, bundle = spec.get("service"), spec.get("caBundle")
    insecure = bool(spec.get("insecureSkipTLSVerify"))
    errors: Errors = []
    if service is None:
        if bundle:
            shown = f"{len(bundle)} bytes"
            says = "local APIServices may not have a caBundle"
            errors += rules.invalid("spec.caBundle", shown, says)
        if insecure:
            says = "local APIServices may not have insecureSkipTLSVerify"
            errors += rules.invalid("spec.insecureSkipTLSVerify", insecure, says)
        return errors
    for field in ("namespace", "name"):
        if not service.get(field):
            errors += rules.required(f"spec.service.{field}")
    faults = names.port_number(service.get("port", 443))
    texts = [f"port is not valid: {fault}" for fault in faults]
    errors += rules.each("spec.service.port", service.get("port"), texts)
    if insecure and bundle:
        says = "may not be true if caBundle is present"
        errors += rules.invalid("spec.insecureSkipTLSVerify", insecure, says)
    return errors


def _service(obj: Json) -> str:
    service = obj["spec"].get("service")
    return f"{service.get('namespace')}/{service.get('name')}" if service else "Local"


def _available(obj: Json) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            if condition.get("status") == "True":
                return "True"
            return f"{condition.get('status')} ({condition.get('reason', '')})"
    return "Unknown"


APISERVICE = Resource(
    id=kinds.APISERVICES,
    name_rule=names.name_is_path_segment,
    schema="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    free_finalizers=True,
    singular="apiservice",
    status_keeps=METADATA_OF_STATUS,
    categories=("api-extensions",),
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Service", _service),
        cells.column("Available", _available),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.APISERVICES),),
    generation=False,
    unconditional_update=False,
)
