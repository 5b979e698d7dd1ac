"""VolumeAttachment: a volume that is, or is to be, attached to a node."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import METADATA_OF_STATUS, Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.core import persistentvolume
from sampan.resources.rules import Errors
from sampan.resources.storage.csidriver import driver_name

MESSAGE_LIMIT = 1024


def defaults(obj: Json) -> None:
    obj.setdefault("status", {}).setdefault("attached", False)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    status = new.get("status") or {}
    errors: Errors = []
    for field in ("attachError", "detachError"):
        if len((status.get(field) or {}).get("message", "")) > MESSAGE_LIMIT:
            errors += rules.too_long(f"status.{field}.message", MESSAGE_LIMIT)
        code = (status.get(field) or {}).get("errorCode")
        if code is not None:
            wrong = names.in_range(code, 0, 2**31 - 1)
            errors += rules.each(f"status.{field}.errorCode", code, wrong)
    if subresource == "status":
        return errors
    spec = new.get("spec") or {}
    errors = _spec(spec) + errors + _volume_name(spec)
    return errors if old is None else errors + rules.immutable("spec", spec, old.get("spec") or {})


def _spec(spec: Json) -> Errors:
    node, source = spec.get("nodeName", ""), spec.get("source") or {}
    errors = driver_name("spec.attacher", spec.get("attacher", ""))
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors += rules.required("spec.source", detail)
    if name is not None and inline is not None:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors += rules.forbidden("spec.source", detail)
    if name == "":
        detail = "must specify non empty persistentVolumeName"
        errors += rules.required("spec.source.persistentVolumeName", detail)
    if inline is not None:
        path = "spec.source.inlineVolumeSpec"
        errors += persistentvolume.validate_spec(inline, "", path, inline=True)
    return errors + rules.each("spec.nodeName", node, names.dns1123_subdomain(node))


def _volume_name(spec: Json) -> Errors:
    name, path = (spec.get("source") or {}).get("persistentVolumeName"), "spec.source"
    if name is None:
        return []
    return rules.each(f"{path}.persistentVolumeName", name, names.dns1123_subdomain(name))


def _volume(obj: Json) -> str:
    source = obj["spec"].get("source") or {}
    return str(source.get("persistentVolumeName") or "")


VOLUMEATTACHMENT = Resource(
    id=kinds.VOLUMEATTACHMENTS,
    schema="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    metadata_checks="whole",
    status_metadata_checks="whole",
    status_keeps=METADATA_OF_STATUS,
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Attacher", cells.field("spec", "attacher"), format="name"),
        cells.column("PV", _volume),
        cells.column("Node", cells.field("spec", "nodeName")),
        cells.column("Attached", cells.field("status", "attached", default=False), type="boolean"),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.VOLUMEATTACHMENTS),),
    generation=False,
    unconditional_update=False,
    returns_deleted=True,
)
