"""Versions of a definition as upstream's messages print them: Go's own field names, nothing left
out, and a schema that all versions share not shown with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.meta import Json

_EMPTY: Json = {
    "ID": "", "Schema": "", "Ref": None, "Description": "", "Type": "", "Nullable": False,
    "Format": "", "Title": "", "Default": None, "Maximum": None, "ExclusiveMaximum": False,
    "Minimum": None, "ExclusiveMinimum": False, "MaxLength": None, "MinLength": None,
    "Pattern": "", "MaxItems": None, "MinItems": None, "UniqueItems": False, "MultipleOf": None,
    "Enum": None, "MaxProperties": None, "MinProperties": None, "Required": None, "Items": None,
    "AllOf": None, "OneOf": None, "AnyOf": None, "Not": None, "Properties": None,
    "AdditionalProperties": None, "PatternProperties": None, "Dependencies": None,
    "AdditionalItems": None, "Definitions": None, "ExternalDocs": None, "Example": None,
    "XPreserveUnknownFields": None, "XEmbeddedResource": False, "XIntOrString": False,
    "XListMapKeys": None, "XListType": None, "XMapType": None, "XValidations": None,
}  # fmt: skip
_SPECIAL = {
    "id": "ID", "$schema": "Schema", "$ref": "Ref",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-embedded-resource": "XEmbeddedResource",
    "x-kubernetes-int-or-string": "XIntOrString",
    "x-kubernetes-list-map-keys": "XListMapKeys",
    "x-kubernetes-list-type": "XListType",
    "x-kubernetes-map-type": "XMapType",
    "x-kubernetes-validations": "XValidations",
}  # fmt: skip


def versions(values: list[Json], *, shared: bool) -> list[Json]:
    return [_version(value, shared=shared) for value in values]


def _version(value: Json, *, shared: bool) -> Json:
    schema = (value.get("schema") or {}).get("openAPIV3Schema")
    columns = [_plain(each) for each in value.get("additionalPrinterColumns") or ()]
    fields = [_plain(each) for each in value.get("selectableFields") or ()]
    return {
        "Name": value.get("name", ""),
        "Served": bool(value.get("served")),
        "Storage": bool(value.get("storage")),
        "Deprecated": bool(value.get("deprecated")),
        "DeprecationWarning": value.get("deprecationWarning"),
        "Schema": None if shared or schema is None else {"OpenAPIV3Schema": props(schema)},
        "Subresources": _subresources(value.get("subresources")),
        "AdditionalPrinterColumns": columns or None,
        "SelectableFields": fields or None,
    }


def _subresources(value: Json | None) -> Json | None:
    if value is None:
        return None
    scale = value.get("scale")
    return {"Status": value.get("status"), "Scale": _plain(scale) if scale else None}


def props(schema: Json) -> Json:
    """JSONSchemaProps."""
    out = dict(_EMPTY)
    for key, value in schema.items():
        name = _SPECIAL.get(key, key[:1].upper() + key[1:])
        if name in out:
            out[name] = _field(name, value)
    return out


def _field(name: str, value: Any) -> Any:
    convert = _CONVERT.get(name)
    return convert(value) if convert else value


def _items(value: Any) -> Json:
    return {"Schema": props(value), "JSONSchemas": None}


def _additional(value: Any) -> Json:
    whole = props(value) if isinstance(value, dict) else None
    return {"Allows": value is not False, "Schema": whole}


def _listed(value: list[Json]) -> list[Json]:
    return [props(each) for each in value]


def rule(value: Json) -> Json:
    """ValidationRule."""
    return {
        "Rule": value.get("rule", ""),
        "Message": value.get("message", ""),
        "MessageExpression": value.get("messageExpression", ""),
        "Reason": value.get("reason"),
        "FieldPath": value.get("fieldPath", ""),
        "OptionalOldSelf": value.get("optionalOldSelf"),
    }


def _plain(value: Json) -> Json:
    return {key[:1].upper() + key[1:]: item for key, item in value.items()}


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "Properties": lambda value: {key: props(value[key]) for key in sorted(value)},
    "AllOf": _listed,
    "OneOf": _listed,
    "AnyOf": _listed,
    "Not": props,
    "Items": _items,
    "AdditionalProperties": _additional,
    "XValidations": lambda value: [rule(each) for each in value],
}
