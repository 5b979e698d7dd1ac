"""What workloads need of a pod template: its defaults, its rules and its warnings."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources import metadata
from sampan.resources.core.pod.annotations import validate_annotations, validate_profiles_match
from sampan.resources.core.pod.defaults import default_template
from sampan.resources.core.pod.spec import validate_spec
from sampan.resources.core.pod.warnings import template_warnings
from sampan.resources.rules import Errors, forbidden, labels

__all__ = ["default_template", "template_warnings", "validate_template"]


def validate_template(template: Json, path: str, old: Json | None = None) -> Errors:
    """`path` names the template (`spec.template`). One that did not change is not looked at
    again: what was once stored must stay writable.
    """
    if old is not None and template == old:
        return []
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors: Errors = []
    # Upstream leaves `metadata` out of these two paths.
    if meta.get("labels"):
        errors += labels(f"{path}.labels", meta["labels"])
    notes, here = meta.get("annotations") or {}, f"{path}.annotations"
    errors += metadata.annotation_rules(here, notes)
    if notes:
        errors += validate_annotations(here, notes, spec)
    errors += validate_spec(f"{path}.spec", spec)
    if notes:
        errors += validate_profiles_match(f"{path}.spec", notes, spec)
    if spec.get("ephemeralContainers"):
        says = "ephemeral containers not allowed in pod template"
        errors += forbidden(f"{path}.spec.ephemeralContainers", says)
    return errors
