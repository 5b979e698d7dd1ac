"""What a claim for storage says: in a PersistentVolumeClaim, and in templates of one."""

from __future__ import annotations

from typing import Any

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import metadata, resource_names
from sampan.resources.rules import (
    Errors,
    each,
    forbidden,
    invalid,
    label_selector,
    labels,
    not_supported,
    required,
)

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
NOT_IN_TEMPLATES = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences",
    "finalizers",
)  # fmt: skip


def validate_template(path: str, template: Json) -> Errors:
    """A claim that does not exist yet: only labels and annotations of its metadata count."""
    errors = template_metadata(f"{path}.metadata", template.get("metadata") or {})
    return errors + validate_spec(f"{path}.spec", template.get("spec") or {})


def template_metadata(path: str, meta: Json) -> Errors:
    """Of what a template makes, only labels and annotations can be told."""
    errors = metadata.annotation_rules(f"{path}.annotations", meta.get("annotations"))
    errors += labels(f"{path}.labels", meta.get("labels"))
    for field in NOT_IN_TEMPLATES:
        if meta.get(field) not in (None, "", []) and (field != "generation" or meta[field]):
            shown = "uID" if field == "uid" else field
            errors += forbidden(f"{path}.{shown}", "cannot be set")
    return errors


def validate_spec(path: str, spec: Json) -> Errors:
    modes = spec.get("accessModes") or ()
    errors: Errors = []
    if not modes:
        errors += required(f"{path}.accessModes", "at least 1 access mode is required")
    errors += label_selector(f"{path}.selector", spec.get("selector"))
    errors += access_modes(f"{path}.accessModes", modes)
    errors += _storage(f"{path}.resources[storage]", spec)
    errors += class_name(f"{path}.storageClassName", spec.get("storageClassName"))
    errors += volume_mode(f"{path}.volumeMode", spec.get("volumeMode"))
    errors += _sources(path, spec)
    return errors + class_name(
        f"{path}.volumeAttributesClassName", spec.get("volumeAttributesClassName")
    )


def access_modes(path: str, modes: Any) -> Errors:
    errors: Errors = []
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors += not_supported(path, mode, ACCESS_MODES)
    alone = "ReadWriteOncePod" in modes
    if alone and any(mode in ACCESS_MODES and mode != "ReadWriteOncePod" for mode in modes):
        errors += forbidden(path, "may not use ReadWriteOncePod with other access modes")
    return errors


def class_name(path: str, name: str | None) -> Errors:
    return each(path, name, names.dns1123_subdomain(name)) if name else []


def volume_mode(path: str, mode: str | None) -> Errors:
    if mode is None or mode in VOLUME_MODES:
        return []
    return not_supported(path, mode, VOLUME_MODES)


def _storage(path: str, spec: Json) -> Errors:
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is None:
        return required(path)
    return resource_names.positive(path, asked) or resource_names.amount(path, "storage", asked)


def _sources(path: str, spec: Json) -> Errors:
    """A claim may be filled from a snapshot or another claim, said in the old or the new field."""
    old, new = spec.get("dataSource"), spec.get("dataSourceRef")
    errors: Errors = []
    if old is not None:
        errors += _reference(f"{path}.dataSource", old)
    if new is not None:
        errors += _reference(f"{path}.dataSourceRef", new)
        if namespace := new.get("namespace"):
            here = f"{path}.dataSourceRef.namespace"
            errors += each(here, namespace, names.dns1123_label(namespace))
    if old is None or new is None:
        return errors
    if new.get("namespace"):
        says = "may not be specified when dataSourceRef.namespace is specified"
        return errors + invalid(path, f"{path}.dataSource", says)
    fields = ("apiGroup", "kind", "name")
    if any(old.get(field) != new.get(field) for field in fields):
        errors += invalid(path, f"{path}.dataSource", "must match dataSourceRef")
    return errors


def _reference(path: str, source: Json) -> Errors:
    errors: Errors = []
    for field in ("name", "kind"):
        if not source.get(field):
            errors += required(f"{path}.{field}")
    group = source.get("apiGroup") or ""
    kind = source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        says = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors += invalid(path, kind, says)
    if group:
        errors += each(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    return errors
