"""A custom kind's schema as OpenAPI shows it, for `kubectl explain`, clients, field ownership."""

from __future__ import annotations

import copy

from sampan.api.meta import Json

_META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_ABOUT = {
    "apiVersion": "The group and version of this object's kind.",
    "kind": "The kind of this object.",
    "metadata": "What every object has: name, labels, owners and the like.",
}


def definition(group: str, version: str, kind: str, schema: Json | None) -> Json:
    """The component schema of the kind; without a schema, any object."""
    body: Json = copy.deepcopy(schema) if schema else {"type": "object"}
    if schema:
        properties = body.setdefault("properties", {})
        for name in ("apiVersion", "kind"):
            properties[name] = {"type": "string", "description": _ABOUT[name]}
        described = {"default": {}, "description": _ABOUT["metadata"]}
        properties["metadata"] = {"allOf": [{"$ref": _META}], **described}
    gvk = {"group": group, "version": version, "kind": kind}
    body["x-kubernetes-group-version-kind"] = [gvk]
    return body
