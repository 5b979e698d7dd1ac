"""The rules of `metadata`, the same for every kind: names, labels, annotations, owners, finalizers.

The API server asks here before a kind's own `validate`, as upstream's strategies do; a kind only
brings its rule for names (`Resource.name_rule`). Pod templates use the parts that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources.rules import (
    METADATA,
    Errors,
    each,
    forbidden,
    immutable,
    invalid,
    labels,
    nonnegative,
    required,
    too_long,
)

NameRule = Callable[[str, bool], list[str]]

ANNOTATIONS_LIMIT = 256 * 1024
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
NO_OWNER = (("v1", "Event"),)


def validate_create(
    obj: Json,
    *,
    namespaced: bool,
    name_rule: NameRule | None = None,
    path: str = "metadata",
    free_finalizers: bool = False,
) -> Errors:
    """Everything wrong with the metadata of an object that is to be stored."""
    meta = obj.get("metadata") or {}
    rule = name_rule or names.name_is_subdomain
    errors: Errors = []
    generate = meta.get("generateName") or ""
    if generate:
        errors += each(f"{path}.generateName", generate, rule(generate, True))
    name = meta.get("name") or ""
    if name:
        errors += each(f"{path}.name", name, rule(name, False))
    else:
        errors += required(f"{path}.name", "name or generateName is required")
    errors += _namespace(f"{path}.namespace", meta.get("namespace") or "", namespaced)
    errors += nonnegative(f"{path}.generation", meta.get("generation"))
    if meta.get("labels"):
        errors += labels(f"{path}.labels", meta["labels"])
    errors += annotation_rules(f"{path}.annotations", meta.get("annotations"))
    errors += owners(f"{path}.ownerReferences", meta.get("ownerReferences") or ())
    held = meta.get("finalizers") or ()
    errors += finalizers(f"{path}.finalizers", held)
    if not free_finalizers:
        errors += _standard(f"{path}.finalizers", held)
    return errors


def validate_update(
    new: Json,
    old: Json,
    own: Errors,
    kind: Resource,
    checks: str = "both",
) -> Errors:
    """What is asked of every kind, and then what the kind asks (`Resource.metadata_checks`): a
    mistake is a cause each time that somebody asks after it; the message shows it once. `own` are
    the mistakes in the rest of the object.
    """
    namespaced, free = kind.id.namespaced, kind.free_finalizers
    errors = validate_common(new, namespaced=namespaced) + _changes(new, old)
    whole = validate_create(
        new, namespaced=namespaced, name_rule=kind.name_rule, free_finalizers=free
    )
    changes = _changes(new, old)
    if not free:
        changes += _standard("metadata.finalizers", new["metadata"].get("finalizers") or ())
    none: Errors = []
    first, second = {
        "none": (none, none), "changes": (changes, none), "whole": (whole, none),
        "both": (changes, whole), "reversed": (whole, changes), "twice": (whole, whole),
    }[checks]  # fmt: skip
    at = own.index(METADATA) if METADATA in own else 0
    between, rest = own[:at], [error for error in own[at:] if error != METADATA]
    return errors + first + between + second + rest


def validate_common(obj: Json, *, namespaced: bool) -> Errors:
    """The rules that hold for every kind, asked when the kind's own are met."""
    rule = names.name_is_path_segment
    return validate_create(obj, namespaced=namespaced, name_rule=rule, free_finalizers=True)


def _changes(new: Json, old: Json) -> Errors:
    meta = new["metadata"]
    errors = _unchanged(new, old)
    errors += labels("metadata.labels", meta.get("labels"))
    errors += annotation_rules("metadata.annotations", meta.get("annotations"))
    return errors + owners("metadata.ownerReferences", meta.get("ownerReferences") or ())


def carry_over(new: Json, old: Json) -> None:
    """What an update may leave out or cannot change without being told off."""
    meta, before = new["metadata"], old["metadata"]
    if not meta.get("uid"):
        _copy(before, meta, "uid")
    _copy(before, meta, "creationTimestamp")
    if before.get("deletionTimestamp"):
        _copy(before, meta, "deletionTimestamp")
    if meta.get("deletionGracePeriodSeconds") is None:
        _copy(before, meta, "deletionGracePeriodSeconds")


def annotation_rules(path: str, values: Mapping[str, str] | None) -> Errors:
    """Keys as of labels, but upper case is fine; values only count by their size."""
    if not values:
        return []
    errors: Errors = []
    size = 0
    for key, value in values.items():
        size += len(key.encode()) + len(value.encode())
        errors += each(path, key, names.qualified_name(key.lower()))
    if size > ANNOTATIONS_LIMIT:
        errors += too_long(path, ANNOTATIONS_LIMIT)
    return errors


def owners(path: str, references: Sequence[Json]) -> Errors:
    errors: Errors = []
    controller = ""
    for reference in references:
        errors += _owner(path, reference)
        if reference.get("controller"):
            this = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if controller:
                says = (
                    "Only one reference can have Controller set to true. Found "
                    f'"true" in references for {controller} and {this}'
                )
                errors += invalid(path, list(references), says)
            controller = controller or this
    return errors


def finalizers(path: str, values: Sequence[str]) -> Errors:
    errors: Errors = []
    for value in values:
        errors += each(path, value, names.qualified_name(value))
    if "orphan" in values and "foregroundDeletion" in values:
        says = "finalizer orphan and foregroundDeletion cannot be both set"
        errors += invalid(path, list(values), says)
    return errors


def _standard(path: str, values: Sequence[str]) -> Errors:
    errors: Errors = []
    for at, value in enumerate(values):
        if "/" not in value and value not in STANDARD_FINALIZERS:
            says = "name is neither a standard finalizer name nor is it fully qualified"
            errors += invalid(f"{path}[{at}]", value, says)
    return errors


def _namespace(path: str, namespace: str, namespaced: bool) -> Errors:
    if not namespaced:
        return forbidden(path, "not allowed on this type") if namespace else []
    if not namespace:
        return required(path)
    return each(path, namespace, names.dns1123_label(namespace))


def _owner(path: str, reference: Json) -> Errors:
    errors: Errors = []
    api_version = reference.get("apiVersion") or ""
    if api_version.count("/") > 1 or not api_version.rpartition("/")[2]:
        errors += invalid(f"{path}.apiVersion", api_version, "version must not be empty")
    for field in ("kind", "name", "uid"):
        if not reference.get(field):
            errors += invalid(f"{path}.{field}", reference.get(field) or "", "must not be empty")
    if (api_version, reference.get("kind")) in NO_OWNER:
        says = f"{_gvk(api_version, reference['kind'])} is disallowed from being an owner"
        errors += invalid(path, reference, says)
    return errors


def _gvk(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"


def _unchanged(new: Json, old: Json) -> Errors:
    meta, before = new["metadata"], old["metadata"]
    errors: Errors = []
    if before.get("deletionTimestamp"):
        had = set(before.get("finalizers") or ())
        extra = sorted(set(meta.get("finalizers") or ()) - had)
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            says = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            errors += forbidden("metadata.finalizers", says)
    for field in ("name", "namespace", "uid"):
        errors += immutable(f"metadata.{field}", meta.get(field) or "", before.get(field) or "")
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        errors += immutable(f"metadata.{field}", meta.get(field), before.get(field))
    return errors


def _copy(source: Json, target: Json, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)
