"""The PersistentVolume: a piece of storage of the cluster."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from sampan.api import kinds, names, quantity
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, resource_names
from sampan.resources.core import claim_spec, volume_sources
from sampan.resources.core.difference import difference
from sampan.resources.core.persistentvolumeclaim import modes_text, storage_class
from sampan.resources.core.pod.scheduling import node_selector
from sampan.resources.core.pod.volumes import SECOND
from sampan.resources.core.pod.warnings import OLD_LABELS, OLD_VOLUMES, old_label
from sampan.resources.file_paths import no_backsteps
from sampan.resources.rules import (
    METADATA,
    Errors,
    each,
    forbidden,
    immutable,
    invalid,
    not_supported,
    ordered,
    required,
)

BAD_IQN = "must be valid format"
_INLINE = "in the context of inline volumes"
RECLAIM = ("Delete", "Recycle", "Retain")
SOURCES: Mapping[str, str] = {
    name: name
    for name in (
        "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs",
        "rbd", "quobyte", "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile",
        "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local",
        "storageos", "csi",
    )
} | {"gcePersistentDisk": "persistentDisk"}  # fmt: skip
"""Each source and its name in paths, in the order of complaints."""


OLD_SOURCES = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")


def defaults(volume: Json) -> None:
    spec, status = volume.setdefault("spec", {}), volume.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if (host := spec.get("hostPath")) is not None and host.get("type") is None:
        host["type"] = ""


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """A new volume's phase begins with the volume itself."""
    if old is None:
        new["status"] = {"phase": "Pending"}
        if made := new["metadata"].get("creationTimestamp"):
            new["status"]["lastPhaseTransitionTime"] = made


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return []
    spec = new["spec"]
    errors = validate_spec(spec, new["metadata"].get("name") or "")
    if old is None:
        return errors
    return [*errors, METADATA, *errors, *_changes(spec, old["spec"])]


def warnings(new: Json, old: Json | None) -> list[str]:
    spec, found = new["spec"], []
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    needed = (spec.get("nodeAffinity") or {}).get("required") or {}
    for at, term in enumerate(needed.get("nodeSelectorTerms") or ()):
        for nth, each_one in enumerate(term.get("matchExpressions") or ()):
            if says := old_label(key := each_one.get("key") or ""):
                path = f"spec.nodeAffinity.required.nodeSelectorTerms[{at}].matchExpressions[{nth}]"
                found.append(f"{path}.key: {key} is {says}")
    for kind in OLD_SOURCES:
        if kind in spec:
            shown = "storageOS" if kind == "storageos" else kind
            found.append(f"spec.{shown}: {OLD_VOLUMES[kind]}")
    return found


def validate_spec(spec: Json, name: str, path: str = "spec", *, inline: bool = False) -> Errors:
    """`inline` is a volume that another object brings along: only CSI, and bound to nothing."""
    modes, policy = spec.get("accessModes") or (), spec.get("persistentVolumeReclaimPolicy") or ""
    errors = _bound(spec, path) if inline else []
    errors += [] if modes else required(f"{path}.accessModes")
    errors += claim_spec.access_modes(f"{path}.accessModes", modes)
    errors += [] if inline else _capacity(f"{path}.capacity", spec.get("capacity") or {})
    where = f"{path}.persistentVolumeReclaimPolicy"
    if policy and inline and policy != "Retain":
        errors += forbidden(where, f"may only be Retain {_INLINE}")
    elif policy and not inline and policy not in RECLAIM:
        errors += not_supported(where, policy, RECLAIM)
    errors += _affinity(f"{path}.nodeAffinity", spec.get("nodeAffinity"), inline=inline)
    errors += _sources(spec, name, path)
    place = (spec.get("hostPath") or {}).get("path")
    if place and posixpath.normpath(place) in ("/", "//") and policy == "Recycle":
        errors += forbidden(where, "may not be 'recycle' for a hostPath mount of '/'")
    errors += _class_and_mode(spec, path, inline=inline)
    return errors + _attributes_class(spec, path)


def _bound(spec: Json, path: str) -> Errors:
    """What a volume of its own would have, and one inside another object has not."""
    errors: Errors = []
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            errors += forbidden(f"{path}.{field}", f"may not be specified {_INLINE}")
    if spec.get("csi") is None:
        errors += required(f"{path}.csi", f"has to be specified {_INLINE}")
    return errors


def _affinity(path: str, affinity: Json | None, *, inline: bool) -> Errors:
    if affinity is None:
        return []
    if inline:
        return forbidden(path, f"may not be specified {_INLINE}")
    if affinity.get("required") is None:
        return required(f"{path}.required", "must specify required node constraints")
    return node_selector(f"{path}.required", affinity["required"])


def _class_and_mode(spec: Json, path: str, *, inline: bool) -> Errors:
    name, mode = spec.get("storageClassName"), spec.get("volumeMode")
    if not inline:
        errors = claim_spec.class_name(f"{path}.storageClassName", name)
        return errors + claim_spec.volume_mode(f"{path}.volumeMode", mode)
    errors = []
    if name:
        errors += forbidden(f"{path}.storageClassName", f"may not be specified {_INLINE}")
    if mode not in (None, "Filesystem"):
        says = f"may not specify volumeMode other than Filesystem {_INLINE}"
        errors += forbidden(f"{path}.volumeMode", says)
    return errors


def _attributes_class(spec: Json, root: str) -> Errors:
    name, path = spec.get("volumeAttributesClassName"), f"{root}.volumeAttributesClassName"
    if name is None:
        return []
    errors = claim_spec.class_name(path, name) or []
    if not name:
        errors += required(path, "an empty string is disallowed")
    if "csi" not in spec:
        says = "has to be specified when using volumeAttributesClassName"
        errors += required(f"{root}.csi", says)
    return errors


def _capacity(path: str, capacity: Mapping[str, str]) -> Errors:
    errors: Errors = [] if capacity else required(path)
    if list(capacity) != ["storage"]:
        errors += not_supported(path, ordered(capacity) or None, ("storage",))
    for name, text in capacity.items():
        here, value = f"{path}[{name}]", quantity.parse(text).value
        if value < 0:
            errors += invalid(here, value, "must be a valid resource quantity")
        errors += resource_names.positive(here, text)
    return errors


def _sources(spec: Json, name: str, path: str) -> Errors:
    says = "may not specify more than 1 volume type"
    errors: Errors = []
    found = False
    for kind, shown in SOURCES.items():
        source = spec.get(kind)
        if source is None:
            continue
        if found and kind != "flexVolume":
            errors += forbidden(f"{path}.{SECOND.get(kind, kind)}", says)
            continue
        found = True
        errors += _source(f"{path}.{shown}", kind, source, name)
        if kind == "local" and spec.get("nodeAffinity") is None:
            errors += required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    return errors if found else [*errors, *required(path, "must specify a volume type")]


def _source(path: str, kind: str, source: Json, name: str) -> Errors:
    if kind == "local":
        place = source.get("path") or ""
        return no_backsteps(f"{path}.path", place) if place else required(f"{path}.path")
    if kind == "csi":
        return _csi(path, source)
    errors = volume_sources.validate_source(path, kind, source)
    if kind in ("cinder", "storageos"):
        errors += volume_sources.secret_name(path, source, namespaced=True)
    if kind == "iscsi":
        # Here upstream's words are the same for every kind of wrong name.
        errors = [replace(e, detail=BAD_IQN) if e.detail.startswith(BAD_IQN) else e for e in errors]
        shown = source.get("targetPortal") or ""
        errors += volume_sources.portal_too_long(f"{path}.targetportal", name, source, shown)
        errors += volume_sources.secret_name(path, source)
    namespace = source.get("secretNamespace")
    if kind == "azureFile" and namespace == "":
        errors += required(f"{path}.secretNamespace")
    namespace = source.get("endpointsNamespace")
    if kind == "glusterfs" and namespace is not None:
        here = f"{path}.endpointsNamespace"
        if not namespace:
            says = "if the endpointnamespace is set, it must be a valid namespace name"
            return errors + invalid(here, namespace, says)
        errors += each(here, namespace, names.dns1123_label(namespace))
    return errors


def _csi(path: str, source: Json) -> Errors:
    errors = volume_sources.csi_driver(f"{path}.driver", source.get("driver") or "")
    if not source.get("volumeHandle"):
        errors += required(f"{path}.volumeHandle")
    for use in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
        reference = source.get(f"{use}SecretRef")
        if reference is None:
            continue
        here = f"{path}.{use}SecretRef"
        for field, rule in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
            value = reference.get(field) or ""
            where = f"{here}.{field}"
            errors += each(where, value, rule(value)) if value else required(where)
    return errors


def _changes(new: Json, old: Json) -> Errors:
    errors: Errors = []
    now, was = ({kind: each[kind] for kind in SOURCES if kind in each} for each in (new, old))
    if "csi" in now and "controllerExpandSecretRef" not in (was.get("csi") or {}):
        kept = {k: v for k, v in now["csi"].items() if k != "controllerExpandSecretRef"}
        now = {**now, "csi": kept}
    if now != was:
        shown = difference(was, now, "PersistentVolumeSpec")
        says = f"spec.persistentvolumesource is immutable after creation\n{shown}"
        errors += forbidden("spec.persistentvolumesource", says)
    errors += immutable("volumeMode", new.get("volumeMode"), old.get("volumeMode"))
    before = old.get("nodeAffinity")
    if before is not None and not _same_affinity(new.get("nodeAffinity"), before):
        says = "field is immutable, except for updating from beta label to GA"
        errors += invalid("nodeAffinity", new.get("nodeAffinity"), says)
    had = old.get("volumeAttributesClassName")
    if had is not None and new.get("volumeAttributesClassName") is None:
        says = "update from non-nil value to nil is forbidden"
        errors += forbidden("spec.volumeAttributesClassName", says)
    return errors


def _same_affinity(new: Json | None, old: Json) -> bool:
    """The same but for labels that got a new name."""
    if new == old:
        return True
    if new is None:
        return False
    terms, had = (
        (each.get("required") or {}).get("nodeSelectorTerms") or [] for each in (new, old)
    )
    if len(terms) != len(had):
        return False
    return all(_same_term(term, before) for term, before in zip(terms, had, strict=True))


def _same_term(new: Json, old: Json) -> bool:
    now, was = new.get("matchExpressions") or [], old.get("matchExpressions") or []
    if len(now) != len(was) or new.get("matchFields") != old.get("matchFields"):
        return False
    for expression, before in zip(now, was, strict=True):
        renamed = OLD_LABELS.get(before.get("key", ""), ("", ""))[1]
        if expression != before and expression != {**before, "key": renamed}:
            return False
    return True


def _phase(volume: Json) -> str:
    if volume["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((volume.get("status") or {}).get("phase") or "")


def _claim(volume: Json) -> str:
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


PERSISTENTVOLUME = Resource(
    id=kinds.PERSISTENTVOLUMES,
    schema="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    metadata_checks="twice",
    short=("pv",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Capacity", cells.field("spec", "capacity", "storage", default="0")),
        cells.column("Access Modes", lambda volume: modes_text(volume["spec"].get("accessModes"))),
        cells.column("Reclaim Policy", cells.field("spec", "persistentVolumeReclaimPolicy")),
        cells.column("Status", _phase),
        cells.column("Claim", _claim),
        cells.column("StorageClass", storage_class),
        cells.column(
            "VolumeAttributesClass",
            cells.field("spec", "volumeAttributesClassName", default=cells.UNSET),
        ),
        cells.column("Reason", cells.field("status", "reason")),
        cells.AGE,
        cells.column(
            "VolumeMode", cells.field("spec", "volumeMode", default=cells.UNSET), priority=1
        ),
    ),
    subresources=(Subresource("status", kinds.PERSISTENTVOLUMES),),
    generation=False,
    returns_deleted=True,
)
