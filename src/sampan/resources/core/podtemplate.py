"""The PodTemplate: a template on a shelf; no controller acts on it."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, labels
from sampan.resources.core.pod import template
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    template.default_template(obj.setdefault("template", {}))


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    before = old["template"] if old else None
    return template.validate_template(new["template"], "template", before)


def warnings(new: Json, old: Json | None) -> list[str]:
    return template.template_warnings(new["template"], "template")


def _labels(obj: Json) -> str:
    return labels.set_text((obj["template"].get("metadata") or {}).get("labels"))


PODTEMPLATE = Resource(
    id=kinds.PODTEMPLATES,
    schema="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    metadata_checks="changes",
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Containers", lambda obj: cells.pod_containers(obj["template"]["spec"])),
        cells.column("Images", lambda obj: cells.pod_images(obj["template"]["spec"])),
        cells.column("Pod Labels", _labels),
    ),
    returns_deleted=True,
)
