"""Which groups, versions and resources there are: the aggregated form, and the legacy lists.

Pure but for a cache by the catalog's generation.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

import orjson

from sampan.api.meta import Json, ResourceId
from sampan.api.resource import Subresource
from sampan.apiserver.answers import encoded, indented, json_answer, wants_indent
from sampan.apiserver.negotiate import JSON, PROTOBUF, choose, clauses
from sampan.apiserver.served import Catalog, Served
from sampan.std.http import Request, Response

AGGREGATED = "apidiscovery.k8s.io"
VERSIONS = ("v2", "v2beta1")
CUSTOM_VERBS = (
    "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
)  # fmt: skip
CLOSING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
# Upstream lists groups by the priorities of its APIServices; clients show them in this order.
GROUPS = (
    "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io",
    "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
    "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip


class Elsewhere(Protocol):
    """Groups and versions that other servers answer for."""

    @property
    def generation(self) -> int: ...

    def lists(self) -> Mapping[tuple[str, str], Json | None]:
        """Their APIResourceLists, as far as they are known."""
        ...


class Discovery:
    """Answers for /api, /apis and below; made anew when the catalog changes."""

    def __init__(self, catalog: Catalog, elsewhere: Elsewhere) -> None:
        self._catalog = catalog
        self._elsewhere = elsewhere
        self._generation = (-1, -1)
        self._made: dict[str, bytes] = {}

    def answer(self, request: Request) -> Response | None:
        """None when there is no such group or version."""
        parts = request.path.strip("/").split("/")
        if len(parts) == 1:
            form = wanted_form(request.headers.get("accept", ""))
            return self._root(request, parts[0], form)
        document = self._document(parts)
        return plain_answer(request, document) if document is not None else None

    def _root(self, request: Request, root: str, form: str) -> Response:
        generation = (self._catalog.generation, self._elsewhere.generation)
        if self._generation != generation:
            self._generation = generation
            self._made.clear()
        key = f"{root} {form}"
        body = self._made.get(key)
        if body is None:
            if form:
                value = aggregated(self._catalog, root, form)
            else:
                value = _legacy_root(self._catalog, root)
            if root == "apis":
                self._add_elsewhere(value, form)
            body = self._made[key] = orjson.dumps(value)
        if not form:
            return plain_answer(request, orjson.loads(body))
        media = f"{JSON};g={AGGREGATED};v={form};as=APIGroupDiscoveryList"
        digest = hashlib.sha256(body).hexdigest().upper()
        headers = {"cache-control": "public", "etag": f'"{digest}"', "vary": "Accept"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(304, headers, b"")
        if wants_indent(request):
            body = indented(orjson.loads(body))
        return Response(200, {"content-type": media, **headers}, body)

    def _document(self, parts: list[str]) -> Json | None:
        if parts[0] == "api":
            return resource_list(self._catalog, "", parts[1]) if len(parts) == 2 else None
        if len(parts) == 2:
            return group_document(self._catalog, parts[1]) or self._remote_group(parts[1])
        return resource_list(self._catalog, parts[1], parts[2]) if len(parts) == 3 else None

    def _add_elsewhere(self, value: Json, form: str) -> None:
        """Groups that other servers answer for stand behind our own."""
        for group in dict.fromkeys(group for group, _ in self._elsewhere.lists()):
            if form:
                value["items"].append(self._remote_aggregated(group))
            elif (document := self._remote_group(group)) is not None:
                shown = {k: v for k, v in document.items() if k not in ("kind", "apiVersion")}
                value["groups"].append(shown)

    def _remote_versions(self, group: str) -> list[str]:
        found = [version for a_group, version in self._elsewhere.lists() if a_group == group]
        return sorted(found, key=version_priority, reverse=True)

    def _remote_group(self, group: str) -> Json | None:
        return _group(group, self._remote_versions(group))

    def _remote_aggregated(self, group: str) -> Json:
        lists = self._elsewhere.lists()
        versions = [
            {
                "version": version,
                "resources": from_legacy(lists[(group, version)] or {}),
                "freshness": "Current" if lists[(group, version)] is not None else "Stale",
            }
            for version in self._remote_versions(group)
        ]
        return {"metadata": {"name": group}, "versions": versions}


def plain_answer(request: Request, document: Json) -> Response:
    """In JSON, YAML or protobuf. Raises NotAcceptable."""
    media = choose(request.headers.get("accept", "")).media_type
    if media == JSON:
        response = json_answer(document, indent=wants_indent(request))
    else:
        headers = {"content-type": media, "cache-control": "no-cache, private"}
        versioned = {**document, "apiVersion": "v1"} if media == PROTOBUF else document
        response = Response(200, headers, encoded(versioned, media))
    if len(request.path.strip("/").split("/")) == 1:
        response.headers["vary"] = "Accept"
    return response


def from_legacy(listed: Json) -> list[Json]:
    """An APIResourceList in the aggregated form."""
    found: dict[str, Json] = {}
    rows = sorted(listed.get("resources") or (), key=lambda row: "/" in row["name"])
    for row in rows:
        name, _, below = row["name"].partition("/")
        kind = {
            "group": row.get("group", ""), "version": row.get("version", ""), "kind": row["kind"],
        }  # fmt: skip
        if below:
            shown = {"subresource": below, "responseKind": kind, "verbs": row["verbs"]}
            found.setdefault(name, {}).setdefault("subresources", []).append(shown)
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if row.get("namespaced") else "Cluster",
            "singularResource": row.get("singularName") or row["kind"].lower(),
            "verbs": row["verbs"],
        }
        found[name] |= {key: row[key] for key in ("shortNames", "categories") if row.get(key)}
    return list(found.values())


def wanted_form(accept: str) -> str:
    """`v2`, `v2beta1`, or empty for the legacy form."""
    for clause in clauses(accept):
        if clause.params.get("g") == AGGREGATED and clause.params.get("v") in VERSIONS:
            return clause.params["v"]
        if clause.type in ("application/json", "*/*") and "as" not in clause.params:
            return ""
    return ""


def versions_of(catalog: Catalog, group: str) -> list[str]:
    """The preferred one first."""
    found = [version for a_group, version in catalog.versions if a_group == group]
    return sorted(found, key=version_priority, reverse=True)


def version_priority(version: str) -> tuple[int, int, int]:
    """v2 > v1 > v1beta2 > v1beta1 > v1alpha1 (kube-aware version order)."""
    import re

    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (-1, 0, 0)
    stage = {None: 2, "beta": 1, "alpha": 0}[match[2]]
    return (stage, int(match[1]), int(match[3] or 0))


def groups_of(catalog: Catalog) -> list[str]:
    known = {group for group, _ in catalog.versions if group}
    return [g for g in GROUPS if g in known] + sorted(known - set(GROUPS))


# -- the aggregated form


def aggregated(catalog: Catalog, root: str, form: str) -> Json:
    groups = [""] if root == "api" else groups_of(catalog)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED}/{form}",
        "metadata": {},
        "items": [_aggregated_group(catalog, group) for group in groups],
    }


def _aggregated_group(catalog: Catalog, group: str) -> Json:
    versions = [
        {
            "version": version,
            "resources": [_aggregated_resource(s) for s in _sorted(catalog, group, version)],
            "freshness": "Current",
        }
        for version in versions_of(catalog, group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _aggregated_resource(served: Served) -> Json:
    rid, resource = served.id, served.resource
    found: Json = {
        "resource": rid.plural,
        "responseKind": _response_kind(rid, rid, custom=served.custom),
        "scope": "Namespaced" if rid.namespaced else "Cluster",
        "singularResource": resource.singular or rid.kind.lower(),
        "verbs": verbs_of(served),
    }
    if resource.short:
        found["shortNames"] = list(resource.short)
    if resource.categories:
        found["categories"] = list(resource.categories)
    subresources = [
        {
            "subresource": sub.name,
            "responseKind": _response_kind(sub.kind, rid, custom=served.custom),
            "verbs": sorted(sub.verbs),
        }
        for sub in in_order(served)
    ]
    if subresources:
        found["subresources"] = subresources
    return found


def verbs_of(served: Served) -> list[str]:
    """In upstream's order, which is the alphabet but for custom resources."""
    if not served.custom:
        return sorted(served.resource.verbs)
    return [*CLOSING_VERBS] if served.closing else [*CUSTOM_VERBS]


def _response_kind(kind: ResourceId, of: ResourceId, *, custom: bool) -> Json:
    """Upstream leaves group and version out where they are the resource's own."""
    own = (kind.group, kind.version) == (of.group, of.version) and not custom
    return {
        "group": "" if own else kind.group,
        "version": "" if own else kind.version,
        "kind": kind.kind,
    }


# -- the legacy form


def _legacy_root(catalog: Catalog, root: str) -> Json:
    if root == "api":
        return {
            "kind": "APIVersions",
            "versions": versions_of(catalog, ""),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        }
    groups = []
    for group in groups_of(catalog):
        document = group_document(catalog, group)
        assert document is not None
        groups.append({k: v for k, v in document.items() if k not in ("kind", "apiVersion")})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(catalog: Catalog, group: str) -> Json | None:
    return _group(group, versions_of(catalog, group) if group else [])


def _group(group: str, versions: list[str]) -> Json | None:
    if not versions:
        return None
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": listed,
        "preferredVersion": listed[0],
    }  # fmt: skip


def resource_list(catalog: Catalog, group: str, version: str) -> Json | None:
    if (group, version) not in catalog.versions:
        return None
    rows: list[Json] = []
    for served in _sorted(catalog, group, version):
        rows.append(_legacy_resource(served))
        rows += _legacy_subresources(served)
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": rows,
    }  # fmt: skip


def _legacy_resource(served: Served) -> Json:
    rid, resource = served.id, served.resource
    row: Json = {
        "name": rid.plural, "singularName": resource.singular or rid.kind.lower(),
        "namespaced": rid.namespaced, "kind": rid.kind, "verbs": verbs_of(served),
    }  # fmt: skip
    if resource.short:
        row["shortNames"] = list(resource.short)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if "list" in resource.verbs and rid.plural != "componentstatuses":
        row["storageVersionHash"] = storage_version_hash(served.stored)
    return row


def in_order(served: Served) -> list[Subresource]:
    """By name; of custom resources the status comes first."""
    return sorted(
        served.resource.subresources,
        key=lambda sub: (served.custom and sub.name != "status", sub.name),
    )


def _legacy_subresources(served: Served) -> Iterable[Json]:
    rid = served.id
    for sub in in_order(served):
        row: Json = {
            "name": f"{rid.plural}/{sub.name}", "singularName": "", "namespaced": rid.namespaced,
        }  # fmt: skip
        if (sub.kind.group, sub.kind.version) != (rid.group, rid.version):
            row["group"], row["version"] = sub.kind.group, sub.kind.version
        row["kind"] = sub.kind.kind
        row["verbs"] = sorted(sub.verbs)
        yield row


HASHED_AS = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): "v1beta1",
}
"""Kinds that upstream stores in an older version than it serves."""


def storage_version_hash(stored: ResourceId) -> str:
    version = HASHED_AS.get((stored.group, stored.plural), stored.version)
    text = f"{stored.group}/{version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _sorted(catalog: Catalog, group: str, version: str) -> list[Served]:
    return sorted(catalog.versions[(group, version)].values(), key=lambda served: served.id.plural)
