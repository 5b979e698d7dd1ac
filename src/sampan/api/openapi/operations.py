"""Paths and operations: which verbs a resource has, with which options and bodies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.meta import Json, ResourceId
from sampan.api.openapi.schemas import reference

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"
PRODUCED = (JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE)
WATCHED = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
PATCH, STATUS, DELETE_OPTIONS = _META + "Patch", _META + "Status", _META + "DeleteOptions"

OPTIONS: dict[str, tuple[str, str]] = {
    "pretty": ("string", "Anything here makes the answer readable by people."),
    "dryRun": ("string", "`All` does everything but keep the change."),
    "fieldManager": ("string", "Who owns the fields that this write sets."),
    "fieldValidation": ("string", "What unknown and duplicate fields do: Ignore, Warn or Strict."),
    "force": ("boolean", "Apply also over what other managers own."),
    "allowWatchBookmarks": ("boolean", "Whether a watch may send BOOKMARK events."),
    "continue": ("string", "The token of the answer before, to read on from there."),
    "fieldSelector": ("string", "Only objects with these values of fields."),
    "labelSelector": ("string", "Only objects with these labels."),
    "limit": ("integer", "At most so many objects in one answer."),
    "resourceVersion": ("string", "How new the answer must be, or where a watch begins."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with everything there is."),
    "timeoutSeconds": ("integer", "How long the request may last."),
    "watch": ("boolean", "Stay, and tell of every change."),
    "gracePeriodSeconds": ("integer", "How long the object has to end; 0 for at once."),
    "orphanDependents": ("boolean", "Whether dependents stay (propagationPolicy is newer)."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background, Foreground."),
}
LIST = ("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
        "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds",
        "watch")  # fmt: skip
WRITE = ("dryRun", "fieldManager", "fieldValidation")
REMOVE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource or subresource: where it is, what its bodies are."""

    id: ResourceId
    body: ResourceId
    """The kind of its bodies."""
    schema: str
    list_schema: str = ""
    subresource: str = ""
    custom: bool = False

    @property
    def title(self) -> str:
        """`AppsV1NamespacedDeploymentScale`, for operation ids."""
        group = (self.id.group.split(".")[0] or "core").capitalize()
        scope = "Namespaced" if self.id.namespaced else ""
        sub = self.subresource[:1].upper() + self.subresource[1:]
        return f"{group}{self.id.version.capitalize()}{scope}{self.id.kind}{sub}"


def paths(target: Target, verbs: Iterable[str]) -> dict[str, Json]:
    """path -> operations."""
    found = set(verbs)
    rid = target.id
    root = rid.path("{namespace}" if rid.namespaced else "")
    one = f"{root}/{{name}}" + (f"/{target.subresource}" if target.subresource else "")
    out: dict[str, Json] = {}
    if target.subresource:
        return {one: _with_parameters(_object_operations(target, found), rid, named=True)}
    collection = _collection_operations(target, found)
    if collection:
        out[root] = _with_parameters(collection, rid)
    if rid.namespaced and "list" in found:
        everywhere = {"get": _list(target, "ForAllNamespaces")}
        out[rid.path()] = {**everywhere, "parameters": [_query("pretty")]}
    single = _object_operations(target, found - {"create"})
    if single:
        out[one] = _with_parameters(single, rid, named=True)
    return out


def _collection_operations(target: Target, verbs: set[str]) -> Json:
    out: Json = {}
    if "list" in verbs:
        out["get"] = _list(target)
    if "create" in verbs:
        out["post"] = _write(target, "create", "post", (200, 201, 202))
    if "deletecollection" in verbs:
        out["delete"] = _operation(
            target, "deleteCollection", "deletecollection", STATUS, (*LIST[1:], *REMOVE),
            body={JSON_TYPE: DELETE_OPTIONS},
        )  # fmt: skip
    return out


def _object_operations(target: Target, verbs: set[str]) -> Json:
    out: Json = {}
    if "get" in verbs:
        out["get"] = _operation(target, "read", "get", target.schema, ())
    if "create" in verbs:
        out["post"] = _write(target, "create", "post", (200, 201, 202))
    if "update" in verbs:
        out["put"] = _write(target, "replace", "put", (200, 201))
    if "patch" in verbs:
        kinds = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
        content = {kind: PATCH for kind in kinds if not (target.custom and kind == STRATEGIC_PATCH)}
        out["patch"] = _operation(
            target, "patch", "patch", target.schema, (*WRITE, "force"), body=content,
            codes=(200, 201),
        )  # fmt: skip
    if "delete" in verbs:
        out["delete"] = _operation(
            target, "delete", "delete", STATUS, REMOVE, body={JSON_TYPE: DELETE_OPTIONS},
            codes=(200, 202),
        )  # fmt: skip
    return out


def _list(target: Target, suffix: str = "") -> Json:
    return _operation(
        target, "list", "list", target.list_schema, LIST, produced=(*PRODUCED, *WATCHED),
        suffix=suffix,
    )  # fmt: skip


def _write(target: Target, word: str, action: str, codes: tuple[int, ...]) -> Json:
    return _operation(
        target, word, action, target.schema, WRITE, body={"*/*": target.schema}, codes=codes
    )


def _operation(  # noqa: PLR0913 - one operation has that many parts
    target: Target,
    word: str,
    action: str,
    answer: str,
    options: tuple[str, ...],
    *,
    body: dict[str, str] | None = None,
    codes: tuple[int, ...] = (200,),
    produced: tuple[str, ...] = PRODUCED,
    suffix: str = "",
) -> Json:
    rid, kind = target.id, target.body
    content = {media: {"schema": reference(answer)} for media in produced}
    out: Json = {
        "tags": [f"{(rid.group.split('.')[0] or 'core')}_{rid.version}"],
        "description": f"{word} {kind.kind}",
        "operationId": f"{word}{target.title}{suffix}",
        "parameters": [_query(name) for name in options],
        "responses": {
            **{str(code): {"description": _CODES[code], "content": content} for code in codes},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group, "kind": kind.kind, "version": kind.version,
        },
    }  # fmt: skip
    if body:
        content = {media: {"schema": reference(name)} for media, name in body.items()}
        out["requestBody"] = {"content": content}
        if action != "delete" and action != "deletecollection":
            out["requestBody"]["required"] = True
    return out


_CODES = {200: "OK", 201: "Created", 202: "Accepted"}


def _with_parameters(operations: Json, rid: ResourceId, *, named: bool = False) -> Json:
    parameters = [_place("name", f"name of the {rid.kind}")] if named else []
    if rid.namespaced:
        parameters.append(_place("namespace", "the namespace of the object"))
    return {**operations, "parameters": [*parameters, _query("pretty")]}


def _place(name: str, text: str) -> Json:
    schema = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "path", "description": text, "required": True, "schema": schema}


def _query(name: str) -> Json:
    kind, text = OPTIONS[name]
    schema = {"type": kind, "uniqueItems": True}
    return {"name": name, "in": "query", "description": text, "schema": schema}
