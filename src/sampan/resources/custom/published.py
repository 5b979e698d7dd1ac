"""A custom kind's schema as OpenAPI shows it, for `kubectl explain`, clients, field ownership."""

from __future__ import annotations

import copy
from typing import Any

from sampan.api.meta import Json
from sampan.resources.custom.prune import PRESERVE

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_ABOUT = {
    "apiVersion": "The group and version of this object's kind.",
    "kind": "The kind of this object.",
    "metadata": "What every object has: name, labels, owners and the like.",
}


def definition(group: str, version: str, kind: str, schema: Json | None) -> Json:
    """The component schema of the kind. A root that keeps unknown fields is shown as free-form."""
    body: Json = {"type": "object"}
    if schema and not schema.get(PRESERVE):
        body = _clean(copy.deepcopy(schema))
    elif schema:
        body[PRESERVE] = True
        if schema.get("description"):
            body["description"] = schema["description"]
    properties = body.setdefault("properties", {}) if schema and not schema.get(PRESERVE) else {}
    if properties or (schema and not schema.get(PRESERVE)):
        for name in ("apiVersion", "kind"):
            properties[name] = {"type": "string", "description": _ABOUT[name]}
        reference = [{"$ref": f"#/components/schemas/{_OBJECT_META}"}]
        properties["metadata"] = {
            "allOf": reference, "default": {}, "description": _ABOUT["metadata"],
        }  # fmt: skip
    gvk = {"group": group, "version": version, "kind": kind}
    body["x-kubernetes-group-version-kind"] = [gvk]
    return body


def _clean(schema: Any) -> Any:
    """Without what OpenAPI v3 documents do not carry."""
    if isinstance(schema, dict):
        return {key: _clean(item) for key, item in schema.items() if key not in ("$schema", "id")}
    if isinstance(schema, list):
        return [_clean(item) for item in schema]
    return schema
