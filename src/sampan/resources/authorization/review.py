"""The rules of access reviews: one kind of attributes, and somebody who asks."""

from __future__ import annotations

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
    if resource is not None and other is not None:
        says = "cannot be specified in combination with resourceAttributes"
        return rules.invalid("spec.nonResourceAttributes", _as_go(other), says)
    if resource is None and other is None:
        says = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return rules.invalid("spec.resourceAttributes", None, says)
    return _selectors(resource or {})


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
    return errors


def _metadata(new: Json, says: str, may: tuple[str, ...]) -> Errors:
    meta = new.get("metadata") or {}
    extra = {name for name, value in meta.items() if value and name not in may}
    return rules.invalid("metadata", meta, says) if extra - {"managedFields"} else []


def _as_go(attributes: Json) -> Json:
    return {"Path": attributes.get("path", ""), "Verb": attributes.get("verb", "")}
