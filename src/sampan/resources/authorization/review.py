"""The rules of access reviews: one kind of attributes, and somebody who asks."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors


def subject(new: Json, old: Json | None, subresource: str) -> Errors:
    """SubjectAccessReview."""
    return _spec(new) + _metadata(new, "must be empty", ())


def own(new: Json, old: Json | None, subresource: str) -> Errors:
    """SelfSubjectAccessReview."""
    return _attributes(new.get("spec") or {}) + _metadata(new, "must be empty", ())


def local(new: Json, old: Json | None, subresource: str) -> Errors:
    """LocalSubjectAccessReview: about its own namespace only."""
    spec = new.get("spec") or {}
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    namespace = (new.get("metadata") or {}).get("namespace", "")
    errors = _spec(new)
    errors += _metadata(new, "must be empty except for namespace", ("namespace",))
    if resource is not None and resource.get("namespace", "") != namespace:
        path = "spec.resourceAttributes.namespace"
        value = resource.get("namespace", "")
        errors += rules.invalid(path, value, "must match metadata.namespace")
    if other is not None:
        says = "disallowed on this kind of request"
        errors += rules.invalid("spec.nonResourceAttributes", _as_go(other), says)
    return errors


def _spec(new: Json) -> Errors:
    spec = new.get("spec") or {}
    errors = _attributes(spec)
    if not spec.get("user") and not spec.get("groups"):
        says = "at least one of user or group must be specified"
        errors += rules.invalid("spec.user", spec.get("user", ""), says)
    return errors


def _attributes(spec: Json) -> Errors:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    errors: Errors = []
    if resource is not None and other is not None:
        says = "cannot be specified in combination with resourceAttributes"
        errors += rules.invalid("spec.nonResourceAttributes", _as_go(other), says)
    if resource is None and other is None:
        says = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors += rules.invalid("spec.resourceAttributes", None, says)
    return errors + _selectors(resource or {})


def _selectors(resource: Json) -> Errors:
    errors: Errors = []
    for name in ("fieldSelector", "labelSelector"):
        selector, path = resource.get(name), f"spec.resourceAttributes.{name}"
        if selector is None:
            continue
        raw, listed = selector.get("rawSelector"), selector.get("requirements")
        if raw and listed:
            says = "may not specified at the same time as requirements"
            errors += rules.invalid(f"{path}.rawSelector", raw, says)
        if not raw and not listed:
            detail = f"when {path} is specified, requirements or rawSelector is required"
            errors += rules.required(f"{path}.requirements", detail)
        for at, requirement in enumerate(listed or ()):
            here = f"{path}.requirements[{at}]"
            errors += _requirement(here, requirement, labels=name == "labelSelector")
    return errors


def _requirement(path: str, requirement: Json, *, labels: bool) -> Errors:
    """Operators that this version does not know may be those of a newer client."""
    key, values = requirement.get("key") or "", requirement.get("values") or ()
    operator, errors = requirement.get("operator"), rules.none()
    if not labels and not key:
        errors += rules.required(f"{path}.key", "must be specified")
    if operator in ("In", "NotIn") and not values:
        detail = "must be specified when `operator` is 'In' or 'NotIn'"
        errors += rules.required(f"{path}.values", detail)
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        errors += rules.forbidden(f"{path}.values", detail)
    if not labels:
        return errors
    errors += rules.each(f"{path}.key", key, names.qualified_name(key))
    for at, value in enumerate(values):
        errors += rules.each(f"{path}.values[{at}]", value, names.label_value(value))
    return errors


def _metadata(new: Json, says: str, may: tuple[str, ...]) -> Errors:
    meta = new.get("metadata") or {}
    extra = {name for name, value in meta.items() if value and name not in may}
    return rules.invalid("metadata", meta, says) if extra - {"managedFields"} else []


def _as_go(attributes: Json) -> Json:
    return {"Path": attributes.get("path", ""), "Verb": attributes.get("verb", "")}
