"""Component schemas: shapes written as OpenAPI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api import schema
from sampan.api.meta import Json
from sampan.api.openapi import words
from sampan.api.schema import Field, Struct, Type

PREFIX = "#/components/schemas/"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCALARS: dict[str, Json] = {
    "string": {"type": "string"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}
_NAMED = {
    "time": _META + "Time",
    "microtime": _META + "MicroTime",
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "int-or-string": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "raw": "io.k8s.apimachinery.pkg.runtime.RawExtension",
}
_LEAVES: dict[str, Json] = {
    _NAMED["time"]: {"type": "string", "format": "date-time"},
    _NAMED["microtime"]: {"type": "string", "format": "date-time"},
    _NAMED["quantity"]: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    _NAMED["int-or-string"]: {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    _NAMED["raw"]: {"type": "object"},
    _META + "Patch": {"type": "object"},
    _META + "FieldsV1": {"type": "object"},
}
_ZEROS: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "double": 0, "bool": False}


def reference(name: str) -> Json:
    return {"$ref": PREFIX + name}


def components(roots: Iterable[str]) -> dict[str, Json]:
    """The schemas of these names and of everything that they mention."""
    out: dict[str, Json] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in out:
            continue
        if name in _LEAVES:
            out[name] = {"description": words.about(name), **_LEAVES[name]}
            continue
        shape = schema.struct(name)
        out[name] = _struct(shape)
        waiting += _mentioned(shape)
    return dict(sorted(out.items()))


def default_of(field: Field) -> Any:
    """The default that the document shows; None for none. A zero value counts where Go has no
    "unset".
    """
    if field.default is not None or field.pointer:
        return field.default
    if field.type.kind == "struct":
        return {}
    return _ZEROS.get(field.type.kind) if field.omit == 0 else None


def _struct(shape: Struct) -> Json:
    out: Json = {"description": words.about(shape.full_name), "type": "object"}
    if schema.of(shape.name).atomic:
        out["x-kubernetes-map-type"] = "atomic"
    required = [field.name for field in shape.fields.values() if field.required]
    if required:
        out["required"] = required
    if shape.fields:
        out["properties"] = {f.name: _property(shape, f) for f in shape.fields.values()}
    if shape.gvk:
        group, version, kind = shape.gvk.split("/")
        group = "" if group == "core" else group
        out["x-kubernetes-group-version-kind"] = [
            {"group": group, "kind": kind, "version": version}
        ]
    return out


def _property(shape: Struct, field: Field) -> Json:
    body = _type(field.type)
    if "$ref" in body:
        body = {"allOf": [body]}
    out: Json = {"description": words.about_field(shape.name, field.name), **body}
    default = default_of(field)
    if default is not None:
        out["default"] = default
    if field.enum:
        out["enum"] = list(field.enum)
    return out | _rules(field.type)


def _rules(kind: Type) -> Json:
    """The extensions by which clients merge and apply."""
    out: Json = {}
    if kind.kind == "list" and (kind.list_type != "atomic" or not kind.merge):
        out["x-kubernetes-list-type"] = kind.list_type
    if kind.keys:
        out["x-kubernetes-list-map-keys"] = list(kind.keys)
    if kind.kind == "map" and kind.atomic:
        out["x-kubernetes-map-type"] = "atomic"
    strategies = [
        name
        for name, given in (
            ("merge", kind.merge),
            ("replace", kind.replace),
            ("retainKeys", kind.retain_keys),
        )
        if given
    ]
    if strategies:
        out["x-kubernetes-patch-strategy"] = ",".join(strategies)
    if kind.merge_key:
        out["x-kubernetes-patch-merge-key"] = kind.merge_key
    return out


def _type(kind: Type) -> Json:
    if kind.kind == "struct":
        return reference(kind.struct.full_name)
    if kind.kind == "list":
        return {"type": "array", "items": _element(kind.of)}
    if kind.kind == "map":
        return {"type": "object", "additionalProperties": _element(kind.of)}
    named = _named(kind)
    if named:
        return reference(named)
    return dict(_SCALARS[kind.kind])


def _named(kind: Type) -> str:
    """The component that a leaf type refers to, if it has one."""
    if kind.go.endswith("FieldsV1"):
        return _META + "FieldsV1"
    return _NAMED.get(kind.kind, "")


def _element(kind: Type) -> Json:
    body = _type(kind)
    if "$ref" in body:
        return {"allOf": [body], "default": {}} if kind.kind == "struct" else body
    return body | ({"default": _ZEROS[kind.kind]} if kind.kind in _ZEROS else {})


def _mentioned(shape: Struct) -> list[str]:
    out = []
    for field in shape.fields.values():
        kind = field.type
        while kind.item is not None:
            kind = kind.item
        if kind.kind == "struct":
            out.append(kind.struct.full_name)
        elif named := _named(kind):
            out.append(named)
    return out
