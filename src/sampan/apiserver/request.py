"""What a path and a method ask for: the verb, the resource, the object (upstream: RequestInfo).

Pure. Authorization, admission and the router all read the one `RequestInfo` made here, so that no
two of them can understand a request differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote

METHOD_VERBS = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
    "DELETE": "delete", "OPTIONS": "get",
}  # fmt: skip
SPECIAL_VERBS = frozenset({"proxy", "watch"})
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """`resource_request` is false for plain paths such as /healthz and for discovery."""

    path: str
    verb: str
    resource_request: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""
    """What stands behind a subresource (`proxy/a/b` -> `a/b`), still percent-encoded."""
    legacy_verb: str = ""
    """`watch` or `proxy` where the path itself says so (the old forms)."""
    named: bool = False
    """The path goes on to one object; a field selector may give a name, too."""
    fields: str = ""
    """The field selector of a list, watch or deletion of a collection, as it was sent."""

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


REMEMBERED = 4096
REMEMBERED_LENGTH = 256
"""Longer ones are no everyday paths, and must not fill the memory."""


def read_path(method: str, path: str, query: str) -> RequestInfo:
    """Take a request apart. A path that is no resource's is itself what is asked for."""
    if len(path) + len(query) <= REMEMBERED_LENGTH:
        return _remembered(method, path, query)
    return _read_path(method, path, query)


def _read_path(method: str, path: str, query: str) -> RequestInfo:
    verb = METHOD_VERBS.get(method, method.lower())
    parts = [part for part in path.split("/") if part]
    plain = RequestInfo(unquote(path), method.lower())
    if "//" in path or len(parts) < 3 or parts[0] not in ("api", "apis"):
        return plain
    if parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    elif len(parts) >= 4:
        group, version, tail = parts[1], parts[2], parts[3:]
    else:
        return plain
    legacy = ""
    if tail[0] in SPECIAL_VERBS:
        if len(tail) < 2:
            return plain
        legacy, tail = tail[0], tail[1:]
        verb = legacy if legacy == "watch" else verb
    return _resource(plain.path, verb, legacy, (group, version), tail, query)


_remembered = lru_cache(maxsize=REMEMBERED)(_read_path)


def _resource(
    path: str, verb: str, legacy: str, group_version: tuple[str, str], tail: list[str], query: str
) -> RequestInfo:
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 1:
        namespace = unquote(tail[1])
        if len(tail) > 2 and tail[2] not in NAMESPACE_SUBRESOURCES:
            tail = tail[2:]
    resource = unquote(tail[0])
    name = unquote(tail[1]) if len(tail) > 1 else ""
    subresource = unquote(tail[2]) if len(tail) > 2 else ""
    rest = "/".join(tail[3:])
    if legacy == "proxy" and name:
        subresource, rest = "proxy", "/".join(tail[2:])
    named = bool(name)
    fields = ""
    if not named:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        if verb == "list" and query and _watching(query):
            verb = "watch"
        if "fieldSelector" in query:
            fields = parse_qs(query).get("fieldSelector", [""])[0]
        if verb in ("list", "watch"):
            name = _single_name(fields)
    return RequestInfo(
        path, verb, True, group_version[0], group_version[1], namespace, resource, subresource,
        name, rest, legacy, named, fields,
    )  # fmt: skip


def _watching(query: str) -> bool:
    if "watch" not in query:
        return False
    value = parse_qs(query, keep_blank_values=True).get("watch", ["false"])[0]
    return value.lower() not in ("false", "0")


def _single_name(fields: str) -> str:
    """`fieldSelector=metadata.name=x` asks for one object, so a rule that names x allows it."""
    if "metadata.name" not in fields:
        return ""
    for term in fields.split(","):
        label, _, value = term.partition("=")
        if label == "metadata.name":
            return value.removeprefix("=")
    return ""
