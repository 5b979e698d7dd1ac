"""Where volumes come from, as pods and PersistentVolumes say it: one rule for each source.

Most are network disks of other systems; nothing here can mount them, but their fields are part of
the API. `REQUIRED` holds what is only "must be there"; the functions hold the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.file_paths import descending_path, no_backsteps
from sampan.resources.rules import (
    Errors,
    each,
    invalid,
    not_supported,
    required,
    too_long,
)

Rule = Callable[[str, Json], Errors]

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "gitRepo": ("repository",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "nfs": ("server", "path"),
    "iscsi": ("targetPortal",),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "scaleIO": ("gateway", "system", "volumeName"),
}
_IQN = {
    "iqn": r".*iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)",
    "eui": r"eui.[A-Za-z0-9]{16}",
    "naa": r"naa.[A-Za-z0-9]{32}",
}
_TOO_LONG_PORTAL = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
    "if iscsi.initiatorName is specified."
)


def validate_source(path: str, kind: str, source: Json) -> Errors:
    """Complaints about one source; `path` is that of the source itself."""
    errors: Errors = []
    for field in REQUIRED.get(kind, ()):
        if not source.get(field):
            errors += required(f"{path}.{field}")
    rule = RULES.get(kind)
    return errors + (rule(path, source) if rule else [])


def portal_too_long(path: str, name: str, source: Json, shown: str) -> Errors:
    """iSCSI: the volume's name and the portal go into one short field."""
    portal = source.get("targetPortal") or ""
    if source.get("initiatorName") is not None and len(f"{name}:{portal}") > 64:
        return invalid(path, shown, _TOO_LONG_PORTAL)
    return []


def csi_driver(path: str, driver: str) -> Errors:
    if not driver:
        return required(path)
    errors: Errors = too_long(path, 63) if len(driver) > 63 else []
    return errors + each(path, driver, names.dns1123_subdomain(driver.lower()))


def secret_name(path: str, source: Json, *, namespaced: bool = False) -> Errors:
    """`secretRef`, where there is one; PersistentVolumes also say its namespace."""
    reference = source.get("secretRef")
    if reference is None:
        return []
    fields = ("name", "namespace") if namespaced else ("name",)
    return [
        error
        for field in fields
        if not reference.get(field)
        for error in required(f"{path}.secretRef.{field}")
    ]


def host_path(path: str, source: Json) -> Errors:
    place, kind = source.get("path") or "", source.get("type")
    if not place:
        return required(f"{path}.path")
    errors = no_backsteps(f"{path}.path", place)
    if kind is not None and kind not in HOST_PATH_TYPES:
        errors += not_supported(f"{path}.type", kind, HOST_PATH_TYPES)
    return errors


def flocker(path: str, source: Json) -> Errors:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    errors: Errors = []
    if not name and not uuid:
        errors += required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        says = "datasetName and datasetUUID can not be specified simultaneously"
        errors += invalid(path, "resource", says)
    if "/" in name:
        errors += invalid(f"{path}.datasetName", name, "must not contain '/'")
    return errors


def storageos(path: str, source: Json) -> Errors:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    here = f"{path}.volumeName"
    errors = each(here, name, names.dns1123_label(name)) if name else required(here)
    if namespace:
        errors += each(f"{path}.volumeNamespace", namespace, names.dns1123_label(namespace))
    return errors


def fibre_channel(path: str, source: Json) -> Errors:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    errors: Errors = []
    if not targets and not ids:
        says = "must specify either targetWWNs or wwids, but not both"
        errors += required(f"{path}.targetWWNs", says)
    if targets and ids:
        says = "targetWWNs and wwids can not be specified simultaneously"
        errors += invalid(f"{path}.targetWWNs", targets, says)
    if targets:
        if lun is None:
            errors += required(f"{path}.lun", "lun is required if targetWWNs is specified")
        else:
            errors += each(f"{path}.lun", lun, names.in_range(lun, 0, 255))
    return errors


def _git(path: str, source: Json) -> Errors:
    return descending_path(f"{path}.directory", source.get("directory") or "")


def _partition(path: str, source: Json) -> Errors:
    number = source.get("partition") or 0
    if 0 <= number <= 255:
        return []
    return each(f"{path}.partition", number, names.in_range(number, 1, 255))


def _nfs(path: str, source: Json) -> Errors:
    place = source.get("path") or ""
    if place.startswith("/"):
        return []
    return invalid(f"{path}.path", place, "must be an absolute path")


def _iscsi(path: str, source: Json) -> Errors:
    iqn, lun = source.get("iqn") or "", source.get("lun") or 0
    errors = required(f"{path}.iqn") if not iqn else _iqn(f"{path}.iqn", iqn)
    errors += each(f"{path}.lun", lun, names.in_range(lun, 0, 255))
    wants_secret = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if wants_secret and source.get("secretRef") is None:
        errors += required(f"{path}.secretRef")
    if (initiator := source.get("initiatorName")) is not None:
        errors += _iqn(f"{path}.initiatorname", initiator)
    return errors


def _iqn(path: str, name: str) -> Errors:
    pattern = _IQN.get(name[:3])
    if pattern is None:
        return invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    return [] if re.fullmatch(pattern, name) else invalid(path, name, "must be valid format")


def _quobyte(path: str, source: Json) -> Errors:
    says = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry") or ""
    errors: Errors = []
    if not registry:
        errors += required(f"{path}.registry", says)
    elif len(source.get("tenant") or "") >= 65:
        says = "must be a UUID and may not exceed a length of 64 characters"
        errors += required(f"{path}.tenant", says)
    else:
        for pair in registry.split(","):
            if not re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*):[^:]*", pair):
                errors += invalid(f"{path}.registry", registry, says)
    return errors + ([] if source.get("volume") else required(f"{path}.volume"))


def _flex(path: str, source: Json) -> Errors:
    errors: Errors = []
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            says = "kubernetes.io and k8s.io namespaces are reserved"
            errors += invalid(f"{path}.options[{key}]", key, says)
    return errors


def _azure_disk(path: str, source: Json) -> Errors:
    mode, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    modes, kinds = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
    errors: Errors = []
    if mode is not None and mode not in modes:
        errors += not_supported(f"{path}.cachingMode", mode, modes)
    if kind is not None and kind not in kinds:
        errors += not_supported(f"{path}.kind", kind, kinds)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        says = (
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/"
            "disks/{disk-id}"
        )
        errors += not_supported(f"{path}.diskURI", uri, (says,))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        says = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        errors += not_supported(f"{path}.diskURI", uri, (says,))
    return errors


RULES: Mapping[str, Rule] = {
    "hostPath": host_path,
    "gitRepo": _git,
    "gcePersistentDisk": _partition,
    "awsElasticBlockStore": _partition,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "flocker": flocker,
    "fc": fibre_channel,
    "quobyte": _quobyte,
    "flexVolume": _flex,
    "azureDisk": _azure_disk,
    "storageos": storageos,
}
