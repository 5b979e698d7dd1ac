"""The PersistentVolumeClaim: a wish for storage, and what became of it."""

from __future__ import annotations

from sampan.api import kinds, names, quantity
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, resource_names
from sampan.resources.core import claim_spec
from sampan.resources.core.difference import difference
from sampan.resources.core.pod.warnings import fractional
from sampan.resources.rules import (
    Errors,
    each,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)

OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)
OLD_SOURCES = (
    ("", "PersistentVolumeClaim"),
    ("snapshot.storage.k8s.io", "VolumeSnapshot"),
)
RESIZE = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
    "NodeResizeInfeasible", "NodeResizePending",
)  # fmt: skip


def defaults(claim: Json) -> None:
    spec = claim.setdefault("spec", {})
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    status = claim.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """dataSource and dataSourceRef say the same where a claim's own namespace is meant."""
    if old is None:
        new["status"] = {"phase": "Pending"}
        _forget_sources(new["spec"])
    spec = new["spec"]
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _forget_sources(spec: Json) -> None:
    """Across namespaces is behind a gate that is off; the old field is for two kinds only."""
    if (spec.get("dataSourceRef") or {}).get("namespace"):
        del spec["dataSourceRef"]
    source = spec.get("dataSource")
    if source is None or spec.get("dataSourceRef") is not None:
        return
    if (source.get("apiGroup") or "", source.get("kind") or "") not in OLD_SOURCES:
        del spec["dataSource"]


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new)
    errors = claim_spec.validate_spec("spec", new["spec"])
    return errors + (_changes(new, old) if old else [])


def warnings(new: Json, old: Json | None) -> list[str]:
    found: list[str] = []
    if OLD_CLASS in (new["metadata"].get("annotations") or {}):
        found.append(
            f'metadata.annotations[{OLD_CLASS}]: deprecated since v1.8; use "storageClassName" '
            "attribute instead"
        )
    needs = new["spec"].get("resources") or {}
    for field in ("requests", "limits"):
        found += fractional(f"spec.resources.{field}", needs.get(field), ("storage",))
    return found


def storage_class(obj: Json) -> str:
    """The class, also where only the old annotation says it."""
    notes = obj["metadata"].get("annotations") or {}
    return str(notes.get(OLD_CLASS) or obj["spec"].get("storageClassName") or "")


def modes_text(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in MODES if mode in (modes or ()))


def _changes(new: Json, old: Json) -> Errors:
    spec, before = new["spec"], old["spec"]
    errors: Errors = []
    notes, had = (each["metadata"].get("annotations") or {} for each in (new, old))
    if notes.get(OLD_CLASS) != had.get(OLD_CLASS) and not _moved_class(new, old):
        path = f"metadata.annotations.{OLD_CLASS}"
        errors += immutable(path, notes.get(OLD_CLASS, ""), had.get(OLD_CLASS, ""))
    compared = _comparable(spec, old, had.get(OLD_CLASS))
    if compared != before:
        says = (
            "spec is immutable after creation except resources.requests and "
            f"volumeAttributesClassName for bound claims\n"
            f"{difference(before, compared, 'PersistentVolumeClaimSpec')}"
        )
        errors += forbidden("spec", says)
    errors += _size(spec, old)
    errors += immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    return errors + _attributes(spec, before)


def _moved_class(new: Json, old: Json) -> bool:
    """The class went from the annotation, where it once was, into its field."""
    notes, had = (each["metadata"].get("annotations") or {} for each in (new, old))
    was, now = had.get(OLD_CLASS), new["spec"].get("storageClassName")
    if was is None or "storageClassName" in old["spec"] or now != was:
        return False
    return bool(notes.get(OLD_CLASS, was) == was)


def _comparable(spec: Json, old: Json, old_class: str | None) -> Json:
    """The spec with what may change set back."""
    before = old["spec"]
    bound = (old.get("status") or {}).get("phase") == "Bound"
    same = dict(spec)
    if not before.get("volumeName"):
        same.pop("volumeName", None)
    named = spec.get("storageClassName")
    if before.get("storageClassName") is None and named is not None and old_class in (None, named):
        same.pop("storageClassName", None)
    if bound:
        requests = (spec.get("resources") or {}).get("requests") or {}
        size = ((before.get("resources") or {}).get("requests") or {}).get("storage")
        if requests and size is not None:
            kept = {**requests, "storage": size}
            same["resources"] = {**spec["resources"], "requests": kept}
        if spec.get("volumeAttributesClassName") is not None:
            same.pop("volumeAttributesClassName")
            if before.get("volumeAttributesClassName") is not None:
                same["volumeAttributesClassName"] = before["volumeAttributesClassName"]
    return same


def _size(spec: Json, old: Json) -> Errors:
    """A claim may only shrink back to what its volume really has."""

    def asked(holder: Json) -> quantity.Quantity:
        text = ((holder.get("resources") or {}).get("requests") or {}).get("storage")
        return quantity.parse(text or "0")

    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    if asked(spec) < asked(old["spec"]) and asked(spec) <= quantity.parse(capacity):
        path = "spec.resources.requests.storage"
        return forbidden(path, "field can not be less than status.capacity")
    return []


def _attributes(spec: Json, before: Json) -> Errors:
    now, was = (each.get("volumeAttributesClassName") for each in (spec, before))
    path = "spec.volumeAttributesClassName"
    if was is None or now == was:
        return []
    if now is None:
        return forbidden(path, "update from non-nil value to nil is forbidden")
    return []


def _status(claim: Json) -> Errors:
    status = claim.get("status") or {}
    errors: Errors = [] if claim["spec"].get("accessModes") else required("Spec.accessModes")
    for name, text in (status.get("capacity") or {}).items():
        value = quantity.parse(text).value
        if value < 0:
            path = f"status.capacity[{name}]"
            errors += invalid(path, value, "must be a valid resource quantity")
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        path = "status.allocatedResourceStatuses"
        errors += _resource_key(path, name)
        if state not in RESIZE:
            errors += not_supported(path, name, RESIZE)
    for name, text in (status.get("allocatedResources") or {}).items():
        path = "status.allocatedResources"
        wrong = _resource_key(path, name)
        errors += wrong or resource_names.amount(f"{path}[{name}]", "storage", text)
    return errors


def _resource_key(path: str, name: str) -> Errors:
    errors = each(path, name, names.qualified_name(name))
    if not errors and resource_names.is_native(name) and name != "storage":
        errors += not_supported(path, name, ("storage",))
    return errors


def _phase(claim: Json) -> str:
    if claim["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((claim.get("status") or {}).get("phase") or "")


def _of_volume(claim: Json, *, modes: bool) -> str:
    """Known only once a volume is bound."""
    status = claim.get("status") or {}
    if not claim["spec"].get("volumeName"):
        return ""
    if modes:
        return modes_text(status.get("accessModes"))
    return str((status.get("capacity") or {}).get("storage") or "0")


PERSISTENTVOLUMECLAIM = Resource(
    id=kinds.PERSISTENTVOLUMECLAIMS,
    schema="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short=("pvc",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Status", _phase),
        cells.column("Volume", cells.field("spec", "volumeName")),
        cells.column("Capacity", lambda claim: _of_volume(claim, modes=False)),
        cells.column("Access Modes", lambda claim: _of_volume(claim, modes=True)),
        cells.column("StorageClass", storage_class),
        cells.column(
            "VolumeAttributesClass",
            cells.field("spec", "volumeAttributesClassName", default=cells.UNSET),
        ),
        cells.AGE,
        cells.column(
            "VolumeMode", cells.field("spec", "volumeMode", default=cells.UNSET), priority=1
        ),
    ),
    subresources=(Subresource("status", kinds.PERSISTENTVOLUMECLAIMS),),
    generation=False,
    returns_deleted=True,
)
