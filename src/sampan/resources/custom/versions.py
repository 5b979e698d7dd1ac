"""From a definition to what is served: one `CustomVersion` for each served version."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sampan.api import jsonpath, kinds
from sampan.api.decode import Decoded
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json, ResourceId
from sampan.api.resource import Column, Resource, Subresource
from sampan.resources import cells
from sampan.resources.autoscaling.scale import ScalePaths
from sampan.resources.custom import checks, defaulting, objects
from sampan.resources.custom.prune import prune
from sampan.resources.custom.published import definition


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """A custom kind in one version."""

    resource: Resource
    read: Callable[[Any], Decoded]
    """Prune and default what the client sent."""
    reread: Callable[[Json], Json]
    """What storage holds, pruned and defaulted by the storage version's schema, in this version."""
    definition: Json
    """The component schema for OpenAPI and field ownership."""
    scale: ScalePaths | None = None


def served(crd: Json) -> list[CustomVersion]:
    """Every version of the definition that is served, in its order."""
    return [version(crd, each) for each in crd["spec"]["versions"] if each.get("served")]


def storage_version(crd: Json) -> str:
    versions = crd["spec"]["versions"]
    return next(str(each["name"]) for each in versions if each.get("storage"))


def resource_id(crd: Json, version_name: str) -> ResourceId:
    spec = crd["spec"]
    namespaced = spec.get("scope") == "Namespaced"
    names = _names(crd)
    return ResourceId(spec["group"], version_name, names["plural"], names["kind"], namespaced)


def _names(crd: Json) -> Json:
    """The accepted names, once there are any."""
    accepted: Json = (crd.get("status") or {}).get("acceptedNames") or {}
    spec: Json = crd["spec"]["names"]
    return accepted if accepted.get("plural") else spec


def version(crd: Json, spec: Json) -> CustomVersion:
    rid = resource_id(crd, spec["name"])
    schema = _schema(crd, spec["name"])
    subresources = spec.get("subresources") or {}
    names = _names(crd)
    stored = resource_id(crd, storage_version(crd))
    validate, warn = objects.judges(schema, subresources.get("scale"))
    resource = Resource(
        id=rid,
        metadata_checks="changes",
        schema="",
        singular=names.get("singular", ""),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        validate=validate,
        warnings=warn,
        free_finalizers=True,
        columns=_columns(spec.get("additionalPrinterColumns") or ()),
        fields={
            each["jsonPath"].removeprefix("."): _field(each["jsonPath"])
            for each in spec.get("selectableFields") or ()
        },
        subresources=_subresources(rid, subresources),
        unconditional_update=False,
        storage=None if stored == rid else stored,
        to_storage=_converted(stored, _schema(crd, stored.version)),
        from_storage=_converted(rid, schema),
        deprecated=_warning(crd, spec),
    )
    shown = definition(rid.group, rid.version, rid.kind, schema)
    reader, as_stored = _reader(schema), _reader(_schema(crd, stored.version))

    def reread(obj: Json) -> Json:
        found = as_stored(obj).obj
        return found if stored == rid else resource.from_storage(found)

    return CustomVersion(resource, reader, reread, shown, _scale(subresources))


def _schema(crd: Json, version_name: str) -> Json:
    spec = next(each for each in crd["spec"]["versions"] if each["name"] == version_name)
    found: Json = (spec.get("schema") or {}).get("openAPIV3Schema") or {}
    return found


def _converted(rid: ResourceId, schema: Json) -> Callable[[Json], Json]:
    """Conversion `None`: the version is another, and what that one does not know is dropped."""

    def convert(obj: Json) -> Json:
        return prune({**obj, "apiVersion": rid.api_version}, schema)[0]

    return convert


def _warning(crd: Json, spec: Json) -> str:
    if not spec.get("deprecated"):
        return ""
    if spec.get("deprecationWarning"):
        return str(spec["deprecationWarning"])
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    text = f"{group}/{spec['name']} {kind} is deprecated"
    newer = _replacement(crd, spec["name"])
    return f"{text}; use {group}/{newer} {kind}" if newer else text


def _replacement(crd: Json, than: str) -> str:
    """The best served version that is not deprecated and comes before this one."""
    usable = [
        each["name"]
        for each in crd["spec"]["versions"]
        if each.get("served") and not each.get("deprecated")
    ]
    best = sorted(usable, key=priority)
    return best[0] if best and priority(best[0]) < priority(than) else ""


_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {"alpha": 2, "beta": 1, None: 0}


def priority(name: str) -> tuple[int, int, int, int, str]:
    """Sorts versions as discovery does: v2, v1, v1beta2, v1alpha1, then other names."""
    match = _VERSION.fullmatch(name)
    if match is None:
        return (1, 0, 0, 0, name)
    major, stage, minor = match.groups()
    return (0, _STAGES[stage], -int(major), -int(minor or 0), name)


def _reader(schema: Json) -> Callable[[Any], Decoded]:
    def read(obj: Any) -> Decoded:
        if not isinstance(obj, dict):
            kind = checks.type_of(obj)
            raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type map[string]any")
        pruned, unknown = prune(obj, schema)
        defaulting.apply(pruned, schema)
        pruned.setdefault("metadata", {})
        return Decoded(_plain_numbers(pruned), tuple(unknown))

    return read


def _plain_numbers(value: Any) -> Any:
    """1.0 is 1, as Go writes it."""
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXPONENTS
    return int(value) if whole else value


_EXPONENTS = 1e21
"""From there on Go writes exponents."""


def _subresources(rid: ResourceId, spec: Json) -> tuple[Subresource, ...]:
    found: list[Subresource] = []
    if spec.get("status") is not None:
        found.append(Subresource("status", rid))
    if spec.get("scale") is not None:
        found.append(Subresource("scale", kinds.SCALES))
    return tuple(found)


def _scale(spec: Json) -> ScalePaths | None:
    scale = spec.get("scale")
    if scale is None:
        return None

    def steps(path: str) -> tuple[str, ...]:
        return tuple(path.strip(".").split("."))

    selector = scale.get("labelSelectorPath")
    return ScalePaths(
        steps(scale["specReplicasPath"]),
        steps(scale["statusReplicasPath"]),
        steps(selector) if selector else None,
    )


def _field(path: str) -> Callable[[Json], str]:
    def read(obj: Json) -> str:
        found = jsonpath.find(path, obj)
        return jsonpath.printed(found[0]) if found else ""

    return read


def _columns(specs: Any) -> tuple[Column, ...]:
    if not specs:
        return (cells.NAME, cells.AGE_DATE)
    return (cells.NAME, *(_column(each) for each in specs))


def _column(spec: Json) -> Column:
    kind = spec.get("type", "string")

    def cell(obj: Json, now: float) -> Any:
        found = jsonpath.find(spec["jsonPath"], obj)
        return _shown(found, kind, now) if found else None

    return Column(
        spec["name"],
        cell,
        type=kind,
        format=spec.get("format", ""),
        priority=spec.get("priority", 0),
        description=spec.get("description", ""),
    )


def _shown(found: list[Any], kind: str, now: float) -> Any:
    """As upstream: a value of the wrong type shows nothing, a date as an age."""
    value = found[0]
    if kind == "date":
        try:
            return cells.since(value, now) if isinstance(value, str) else None
        except ValueError:
            return "<invalid>"
    if kind == "string":
        return jsonpath.printed(value)
    if kind in ("integer", "number"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (int(value) if kind == "integer" else value) if number else None
    return value if isinstance(value, bool) else None
