"""Documents of OpenAPI v3, one per group and version, and their index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sampan.api import schema
from sampan.api.meta import Json, ResourceId
from sampan.api.openapi import operations
from sampan.api.openapi.operations import Target
from sampan.api.openapi.schemas import components, reference
from sampan.api.resource import Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


@dataclass(frozen=True, slots=True)
class Published:
    """A resource as the documents show it; custom kinds bring a schema of their own."""

    resource: Resource
    definition: Json | None = None

    @property
    def name(self) -> str:
        """The component's name: `com.example.v1.Widget` for a custom kind."""
        if self.definition is None:
            return schema.struct(self.resource.schema).full_name
        rid = self.resource.id
        return ".".join([*reversed(rid.group.split(".")), rid.version, rid.kind])


def document(group: str, version: str, published: Iterable[Published]) -> Json:
    """The OpenAPI v3 document of a group and version."""
    paths: dict[str, Json] = {}
    roots = {operations.PATCH, operations.STATUS, operations.DELETE_OPTIONS}
    own: dict[str, Json] = {}
    for entry in published:
        for target, verbs in _targets(entry):
            paths |= operations.paths(target, verbs)
            if entry.definition is None or target.subresource:
                roots |= {target.schema, target.list_schema} - {"", entry.name}
        if entry.definition is None:
            roots.add(entry.name)
        else:
            own |= _custom_components(entry)
            roots.add(_META + "ObjectMeta")
            roots.add(_META + "ListMeta")
    roots -= own.keys()
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted({**components(roots), **own}.items()))},
    }


def index(hashes: Mapping[str, str]) -> Json:
    """The answer of /openapi/v3: where each document is, by a hash that changes with it."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest_}"}
            for path, digest_ in sorted(hashes.items())
        }
    }


def digest(published: Iterable[Published], release: str) -> str:
    """A hash that changes when the document does, without making the document."""
    parts: list[Any] = [release]
    for entry in published:
        resource = entry.resource
        subs = [(sub.name, sub.kind, sub.verbs) for sub in resource.subresources]
        parts.append((resource.id, resource.schema, resource.verbs, subs, entry.definition))
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=list)
    return hashlib.sha256(text).hexdigest().upper()


def _targets(entry: Published) -> list[tuple[Target, tuple[str, ...]]]:
    resource = entry.resource
    custom = entry.definition is not None
    name = entry.name
    listed = f"{name}List" if "list" in resource.verbs else ""
    main = Target(resource.id, resource.id, name, listed, custom=custom)
    out = [(main, resource.verbs)]
    for sub in resource.subresources:
        body = sub.kind
        same = body.kind == resource.id.kind and body.group == resource.id.group
        sub_name = name if same else _schema_of(body)
        if sub_name:
            target = Target(resource.id, body, sub_name, "", sub.name, custom)
            out.append((target, sub.verbs))
    return out


def _schema_of(body: ResourceId) -> str:
    """The component of a body kind; empty for options of a connection, which have none."""
    shape = schema.by_gvk(body.group, body.version, body.kind)
    return shape.full_name if shape else ""


def _custom_components(entry: Published) -> dict[str, Json]:
    rid = entry.resource.id
    definition = dict(entry.definition or {})
    gvk = {"group": rid.group, "kind": rid.kind, "version": rid.version}
    free = definition.get("x-kubernetes-preserve-unknown-fields") and not definition.get(
        "properties"
    )
    if not free:
        definition["properties"] = {
            **definition.get("properties", {}),
            "apiVersion": {"type": "string", "description": "The version of this form."},
            "kind": {"type": "string", "description": "The kind of the object."},
            "metadata": {
                "allOf": [reference(_META + "ObjectMeta")],
                "description": "Name, labels and the like.",
            },
        }
    listed = {
        "description": f"A list of {rid.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [reference(_META + "ListMeta")]},
            "items": {"type": "array", "items": reference(entry.name)},
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": f"{rid.kind}List"}],
    }
    definition["x-kubernetes-group-version-kind"] = [gvk]
    return {entry.name: definition, f"{entry.name}List": listed}
