"""StorageClass: how volumes of a kind are made."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
MAX_PARAMETERS = 512
MAX_PARAMETERS_BYTES = 256 * 1024
_BINDING_MODES = ["Immediate", "WaitForFirstConsumer"]
_RECLAIM = ["Delete", "Retain"]


def is_default(obj: Json) -> bool:
    annotations = obj["metadata"].get("annotations") or {}
    return any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS)


def defaults(obj: Json) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors = provisioner("provisioner", new.get("provisioner", ""))
    errors += parameters("parameters", new.get("parameters") or {}, needed=False)
    policy = new.get("reclaimPolicy")
    if policy and policy not in _RECLAIM:
        errors += rules.not_supported("reclaimPolicy", policy, _RECLAIM)
    errors += rules.choice("volumeBindingMode", new.get("volumeBindingMode"), _BINDING_MODES)
    errors += _topologies(new.get("allowedTopologies") or ())
    return errors if old is None else [*errors, rules.METADATA, *_update(new, old)]


def provisioner(path: str, name: str) -> Errors:
    """Upper case is no fault, but it is not shown either."""
    if not name:
        return rules.required(path)
    return rules.each(path, name.lower(), names.qualified_name(name.lower()))


def parameters(path: str, values: Json, *, needed: bool) -> Errors:
    if not values:
        return rules.required(path, "must contain at least one key/value pair") if needed else []
    if len(values) > MAX_PARAMETERS:
        return rules.too_long(path, MAX_PARAMETERS)
    errors: Errors = []
    for key in sorted(values):
        if not key:
            errors += rules.invalid(path, key, "field can not be empty.")
    if sum(len(key) + len(value) for key, value in values.items()) > MAX_PARAMETERS_BYTES:
        errors += rules.too_long(path, MAX_PARAMETERS_BYTES)
    return errors


def _topologies(terms: list[Json] | tuple[()]) -> Errors:
    errors: Errors = []
    before: list[dict[str, set[str]]] = []
    for at, term in enumerate(terms):
        seen: dict[str, set[str]] = {}
        for number, requirement in enumerate(term.get("matchLabelExpressions") or ()):
            path = f"allowedTopologies[{at}].matchLabelExpressions[{number}]"
            key, values = requirement.get("key", ""), requirement.get("values") or ()
            if not values:
                errors += rules.required(f"{path}.values")
            for place, value in enumerate(values):
                if value in values[:place]:
                    errors += rules.duplicate(f"{path}.values[{place}]", value)
            errors += rules.each(f"{path}.key", key, names.qualified_name(key))
            if key in seen:
                errors += rules.duplicate(f"{path}.key", key)
            seen[key] = set(values)
        path = f"allowedTopologies[{at}].matchLabelExpressions"
        # An empty term is a duplicate of the places that upstream keeps for all of them.
        places = 0 if seen else len(terms)
        errors += rules.duplicate(path, "") * (places + before.count(seen))
        before.append(seen)
    return errors


def _update(new: Json, old: Json) -> Errors:
    errors: Errors = []
    for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        errors += rules.immutable(field, new.get(field), old.get(field))
    return errors


def _name(obj: Json) -> str:
    return f"{obj['metadata']['name']}{' (default)' if is_default(obj) else ''}"


STORAGECLASS = Resource(
    id=kinds.STORAGECLASSES,
    schema="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    metadata_checks="reversed",
    short=("sc",),
    defaults=defaults,
    validate=validate,
    columns=(
        cells.column("Name", _name, format="name"),
        cells.column("Provisioner", cells.field("provisioner")),
        cells.column("ReclaimPolicy", cells.field("reclaimPolicy", default="Delete")),
        cells.column("VolumeBindingMode", cells.field("volumeBindingMode", default=cells.UNSET)),
        cells.column("AllowVolumeExpansion", cells.field("allowVolumeExpansion", default=False)),
        cells.AGE,
    ),
    generation=False,
    returns_deleted=True,
)
