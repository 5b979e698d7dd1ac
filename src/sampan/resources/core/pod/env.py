"""Environment variables and where their values come from; the downward API's field paths."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sampan.api import names, quantity
from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources.core.pod.windows import containers_with_paths
from sampan.resources.file_paths import no_backsteps
from sampan.resources.rules import Errors, each, invalid, named, not_supported, required

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
    "metadata.uid",
)  # fmt: skip
KNOWN_FIELDS = frozenset((*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "status.phase"))
RESOURCES = tuple(
    f"{kind}.{name}"
    for kind in ("limits", "requests")
    for name in ("cpu", "ephemeral-storage", "memory")
)
CPU_DIVISORS: tuple[str, ...] = ("1m", "1")
DIVISORS: tuple[str, ...] = (
    "1",
    "1k",
    "1M",
    "1G",
    "1T",
    "1P",
    "1E",
    "1Ki",
    "1Mi",
    "1Gi",
    "1Ti",
    "1Pi",
    "1Ei",
)
_SUBSCRIPT = re.compile(r"(metadata\.[a-z]+)\['(.*)'\]")


def validate_env(path: str, variables: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, variable in enumerate(variables):
        here = f"{path}[{at}]"
        errors += named(f"{here}.name", variable.get("name"), names.env_name)
        source = variable.get("valueFrom")
        if source is not None:
            errors += _value_from(f"{here}.valueFrom", source, variable.get("value") or "")
    return errors


def validate_env_from(path: str, sources: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, source in enumerate(sources):
        here = f"{path}[{at}]"
        if prefix := source.get("prefix"):
            errors += each(f"{here}.prefix", prefix, names.env_name(prefix))
        found = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        for field in found:
            rule = _subdomain_prefix
            errors += named(f"{here}.{field}.name", source[field].get("name"), rule)
        if not found:
            errors += invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            errors += invalid(path, "", "may not have more than one field specified at a time")
    return errors


def validate_files(path: str, spec: Json) -> Errors:
    """Files with variables can only be in an emptyDir: some container of the pod wrote them."""
    errors: Errors = []
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    for here, container in containers_with_paths(path, spec):
        for at, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            where = f"{here}.env[{at}].valueFrom.fileKeyRef.volumeName"
            name = reference.get("volumeName") or ""
            if name not in volumes:
                errors.append(FieldError("NotFound", where, name))
            elif "emptyDir" not in volumes[name]:
                errors += invalid(where, name, "referenced volume must be of type emptyDir")
    return errors


def field_reference(path: str, reference: Json, allowed: Sequence[str]) -> Errors:
    """`fieldRef`: a field of the pod itself."""
    if not reference.get("apiVersion"):
        return required(f"{path}.apiVersion")
    field = reference.get("fieldPath") or ""
    if not field:
        return required(f"{path}.fieldPath")
    subscript = _SUBSCRIPT.fullmatch(field)
    if not (reference["apiVersion"] == "v1" and (field in KNOWN_FIELDS or subscript)):
        says = _unknown_field(reference["apiVersion"], field)
        return invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {says}")
    if subscript:
        return _subscripted(path, field, *subscript.groups())
    if field not in allowed:
        return not_supported(f"{path}.fieldPath", field, allowed)
    return []


def resource_reference(path: str, reference: Json, *, in_volume: bool = False) -> Errors:
    """`resourceFieldRef`: a request or limit of a container."""
    errors: Errors = []
    resource = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        errors += required(f"{path}.containerName")
    elif not resource:
        errors += required(f"{path}.resource")
    elif resource not in RESOURCES and not _is_hugepages(resource):
        errors += not_supported(f"{path}.resource", resource, RESOURCES)
    return errors + _divisor(f"{path}.divisor", resource, reference.get("divisor"))


def key_reference(path: str, reference: Json) -> Errors:
    """`configMapKeyRef` and `secretKeyRef`."""
    name = reference.get("name") or ""
    errors = each(f"{path}.name", name, names.dns1123_subdomain(name))
    return errors + named(f"{path}.key", reference.get("key"), names.config_key)


def _value_from(path: str, source: Json, value: str) -> Errors:
    errors: Errors = []
    found = 0
    if (reference := source.get("fieldRef")) is not None:
        found += 1
        errors += field_reference(f"{path}.fieldRef", reference, ENV_FIELDS)
    if (reference := source.get("resourceFieldRef")) is not None:
        found += 1
        errors += resource_reference(f"{path}.resourceFieldRef", reference)
    for field in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(field)) is not None:
            found += 1
            errors += key_reference(f"{path}.{field}", reference)
    if (reference := source.get("fileKeyRef")) is not None:
        found += 1
        errors += _file_key(f"{path}.fileKeyRef", reference)
    if not found:
        says = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        errors += invalid(path, "", says)
    elif value:
        errors += invalid(path, "", "may not be specified when `value` is not empty")
    elif found > 1:
        errors += invalid(path, "", "may not have more than one field specified at a time")
    return errors


def _file_key(path: str, reference: Json) -> Errors:
    errors = named(f"{path}.key", reference.get("key"), names.env_name)
    errors += named(f"{path}.volumeName", reference.get("volumeName"), names.dns1123_label)
    file = reference.get("path") or ""
    if not file:
        return errors + required(f"{path}.path")
    return errors + no_backsteps(f"{path}.path", file)


def _subscripted(path: str, field: str, whole: str, key: str) -> Errors:
    if whole == "metadata.annotations":
        return each(path, key.lower(), names.qualified_name(key.lower()))
    if whole == "metadata.labels":
        return each(path, key, names.qualified_name(key))
    return invalid(path, whole, "does not support subscript")


def _unknown_field(version: str, field: str) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if field.endswith("']") and "['" in field:
        return f"field label does not support subscript: {field}"
    return f"field label not supported: {field}"


def _divisor(path: str, resource: str, divisor: str | None) -> Errors:
    if not divisor or not quantity.parse(divisor):
        return []
    name = resource.partition(".")[2]
    if name == "cpu":
        allowed, said, of = CPU_DIVISORS, "1m and 1", "cpu"
    else:
        allowed, said = DIVISORS, ", ".join(DIVISORS)
        of = {"ephemeral-storage": "local ephemeral storage"}.get(name, name)
        of = "hugepages" if name.startswith("hugepages-") else of
    if str(quantity.parse(divisor)) in allowed or not name:
        return []
    return invalid(
        path, resource, f"only divisor's values {said} are supported with the {of} resource"
    )


def _is_hugepages(resource: str) -> bool:
    return resource.startswith(("requests.hugepages-", "limits.hugepages-"))


def _subdomain_prefix(name: str) -> list[str]:
    """Upstream takes these names for prefixes, so one may end in a hyphen."""
    return names.name_is_subdomain(name, True)
