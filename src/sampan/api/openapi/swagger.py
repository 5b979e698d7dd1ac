"""OpenAPI v2, made from the v3 documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api.meta import Json
from sampan.api.openapi.schemas import PREFIX

_OLD_PREFIX = "#/definitions/"
_GVK = "x-kubernetes-group-version-kind"
_LEFT_OUT = ("allOf", "anyOf", "oneOf", "not", "$ref")
_KEPT = ("tags", "description", "operationId", "x-kubernetes-action",
         "x-kubernetes-group-version-kind")  # fmt: skip


def swagger(documents: Iterable[Json]) -> Json:
    """One v2 document with everything that the v3 documents have."""
    definitions: dict[str, Json] = {}
    paths: dict[str, Json] = {}
    for document in documents:
        for name, body in document["components"]["schemas"].items():
            if name not in definitions:
                definitions[name] = _free(body) or _schema(body)
        for path, item in document["paths"].items():
            paths[path] = {key: _item(key, value) for key, value in item.items()}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": paths,
        "definitions": dict(sorted(definitions.items())),
    }


def _free(body: Json) -> Json | None:
    """A custom kind that keeps unknown fields: kubectl would refuse all that is not listed."""
    if not body.get("x-kubernetes-preserve-unknown-fields"):
        return None
    return {key: body[key] for key in ("type", "description", _GVK) if key in body}


def _schema(value: Any) -> Any:
    """v2 knows no oneOf, no defaults beside a reference, and references stand alone. What may be
    null has no type there.
    """
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("nullable"):
        return {key: item for key, item in value.items() if key == "description"}
    if "oneOf" in value and "type" not in value:
        kept = {k: v for k, v in value.items() if k in ("description", "format")}
        return {**kept, "type": "string"}
    out = {key: _part(key, item) for key, item in value.items() if key not in _LEFT_OUT}
    target = value.get("$ref") or next((part.get("$ref") for part in value.get("allOf", ())), None)
    if target:
        out.pop("default", None)
        out["$ref"] = target.replace(PREFIX, _OLD_PREFIX)
    return out


def _part(key: str, value: Any) -> Any:
    """Members of a schema; those of `properties` are names, which may be any word."""
    if key == "properties":
        return {name: _schema(body) for name, body in value.items()}
    return value if key.startswith("x-") or key in ("default", "enum") else _schema(value)


def _item(key: str, value: Any) -> Any:
    if key == "parameters":
        return [_parameter(parameter) for parameter in value]
    return _operation(value)


def _operation(operation: Json) -> Json:
    out: Json = {key: operation[key] for key in _KEPT}
    out["schemes"] = ["https"]
    parameters = [_parameter(parameter) for parameter in operation["parameters"]]
    body = operation.get("requestBody")
    if body:
        content = body["content"]
        first = next(iter(content.values()))["schema"]
        entry: Json = {"name": "body", "in": "body", "schema": _schema(first)}
        if body.get("required"):
            entry["required"] = True
        parameters.insert(0, entry)
        out["consumes"] = list(content)
    else:
        out["consumes"] = ["*/*"]
    if parameters:
        out["parameters"] = parameters
    responses = operation["responses"]
    out["responses"] = {code: _response(answer) for code, answer in responses.items()}
    first_answer = next(iter(responses.values()))
    out["produces"] = list(first_answer.get("content", ()))
    return out


def _parameter(parameter: Json) -> Json:
    out = {key: value for key, value in parameter.items() if key != "schema"}
    return {**out, **parameter["schema"]}


def _response(answer: Json) -> Json:
    out: Json = {"description": answer["description"]}
    content = answer.get("content")
    if content:
        out["schema"] = _schema(next(iter(content.values()))["schema"])
    return out
