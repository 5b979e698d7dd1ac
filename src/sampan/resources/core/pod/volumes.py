"""The volumes of a pod: names, one source each, and the sources that only pods have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.api import names, quantity
from sampan.api.meta import Json
from sampan.resources.core import claim_spec, volume_sources
from sampan.resources.core.pod.projections import (
    file_mode,
    key_paths,
    validate_downward,
    validate_projected,
)
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)

SOURCES: Mapping[str, str] = {
    name: name
    for name in (
        "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs",
        "iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs",
        "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume",
        "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO",
        "csi", "ephemeral", "image",
    )
} | {"gcePersistentDisk": "persistentDisk"}  # fmt: skip
"""Each source and its name in paths, in the order of complaints."""
SECOND = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""What upstream calls a source that is one too many, where that is not its name."""
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def validate_volumes(
    path: str, volumes: Sequence[Json], pod_name: str
) -> tuple[dict[str, Json], Errors]:
    """The volumes that containers may use, by name, and the complaints."""
    errors: Errors = []
    valid: dict[str, Json] = {}
    made = {f"{pod_name}-{v.get('name')}" for v in volumes if pod_name and v.get("ephemeral")}
    for at, volume in enumerate(volumes):
        here = f"{path}[{at}]"
        name = volume.get("name") or ""
        found = _source(here, volume, name, pod_name)
        if not name:
            found += required(f"{here}.name")
        else:
            found += each(f"{here}.name", name, names.dns1123_label(name))
        if name in valid:
            found += duplicate(f"{here}.name", name)
        if found:
            errors += found
        else:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            says = "must not reference a PVC that gets created for an ephemeral volume"
            errors += invalid(f"{here}.persistentVolumeClaim.claimName", claim, says)
    return valid, errors


def _source(path: str, volume: Json, name: str, pod_name: str) -> Errors:
    errors: Errors = []
    found = False
    if (empty := volume.get("emptyDir")) is not None:
        found = True
        limit = empty.get("sizeLimit")
        if limit is not None and quantity.parse(limit).nanos < 0:
            says = "SizeLimit field must be a valid resource quantity"
            errors += forbidden(f"{path}.emptyDir.sizeLimit", says)
    for kind, shown in SOURCES.items():
        source = volume.get(kind)
        if source is None:
            continue
        if found:
            says = "may not specify more than 1 volume type"
            errors += forbidden(f"{path}.{SECOND.get(kind, kind)}", says)
            continue
        found = True
        rule = OWN.get(kind)
        here = f"{path}.{shown}"
        errors += rule(here, source) if rule else volume_sources.validate_source(here, kind, source)
        if kind == "iscsi":
            errors += volume_sources.portal_too_long(f"{path}.name", name, source, name)
        if kind == "ephemeral" and pod_name and name:
            claim = f"{pod_name}-{name}"
            for complaint in names.dns1123_subdomain(claim):
                errors += invalid(f"{path}.name", name, f'PVC name "{claim}": {complaint}')
    return errors if found else [*errors, *required(path, "must specify a volume type")]


def _secret(path: str, source: Json) -> Errors:
    errors: Errors = [] if source.get("secretName") else required(f"{path}.secretName")
    errors += file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    return errors + key_paths(f"{path}.items", source.get("items") or ())


def _config_map(path: str, source: Json) -> Errors:
    errors: Errors = [] if source.get("name") else required(f"{path}.name")
    errors += file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    return errors + key_paths(f"{path}.items", source.get("items") or ())


def _cinder(path: str, source: Json) -> Errors:
    errors = volume_sources.validate_source(path, "cinder", source)
    return errors + volume_sources.secret_name(path, source)


def _storageos(path: str, source: Json) -> Errors:
    errors = volume_sources.storageos(path, source)
    return errors + volume_sources.secret_name(path, source)


def _csi(path: str, source: Json) -> Errors:
    errors = volume_sources.csi_driver(f"{path}.driver", source.get("driver") or "")
    reference = source.get("nodePublishSecretRef")
    if reference is None:
        return errors
    name = reference.get("name") or ""
    if not name:
        return errors + required(f"{path}.nodePublishSecretRef.name")
    return errors + each(f"{path}.name", name, names.dns1123_subdomain(name))


def _ephemeral(path: str, source: Json) -> Errors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return required(f"{path}.volumeClaimTemplate")
    return claim_spec.validate_template(f"{path}.volumeClaimTemplate", template)


def _image(path: str, source: Json) -> Errors:
    policy = source.get("pullPolicy") or ""
    errors: Errors = [] if source.get("reference") else required(f"{path}.reference")
    if policy and policy not in PULL_POLICIES:
        errors += not_supported(f"{path}.pullPolicy", policy, PULL_POLICIES)
    return errors


OWN: Mapping[str, Any] = {
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": validate_downward,
    "projected": validate_projected,
    "cinder": _cinder,
    "storageos": _storageos,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
"""Sources whose rule in a pod is not the one of a PersistentVolume."""
