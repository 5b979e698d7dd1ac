"""Which FlowSchema a request falls under, and so which priority level: the two headers that say so.

    X-Kubernetes-PF-FlowSchema-UID, X-Kubernetes-PF-PriorityLevel-UID

Schemas are asked by precedence, then by name; one whose level does not exist is asked for nothing.
An answer that was found once is kept until a schema or level changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.meta import Json
from sampan.apiserver.authn.user import User, split_service_account
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.request import RequestInfo

GROUP = "flowcontrol.apiserver.k8s.io"
KEPT = 4096
_NONE: Mapping[str, str] = {}


class Flows:
    def __init__(self, cacher: Cacher) -> None:
        self._schemas = cacher.collection(GROUP, "flowschemas")
        self._levels = cacher.collection(GROUP, "prioritylevelconfigurations")
        self._ordered: list[tuple[Json, Mapping[str, str]]] | None = None
        self._found: dict[tuple[object, ...], Mapping[str, str]] = {}
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            cacher.listen(GROUP, plural, self._changed)

    def headers(self, user: User, info: RequestInfo) -> Mapping[str, str]:
        """The headers of the answer; empty where no schema is for the request."""
        if info.resource_request:
            what: tuple[object, ...] = (
                info.verb, info.group, info.resource, info.subresource, info.namespace,
            )  # fmt: skip
        else:
            what = (info.verb, info.path)
        key = (user.name, user.groups, *what)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= KEPT:
                self._found.clear()
            found = self._found[key] = self._classify(user, info)
        return found

    def _changed(self, _event: Event) -> None:
        self._ordered = None
        self._found.clear()

    def _classify(self, user: User, info: RequestInfo) -> Mapping[str, str]:
        if self._ordered is None:
            self._ordered = self._in_order()
        for spec, headers in self._ordered:
            if any(covers(rule, user, info) for rule in spec.get("rules") or ()):
                return headers
        return _NONE

    def _in_order(self) -> list[tuple[Json, Mapping[str, str]]]:
        found = []
        for item in self._schemas.items():
            schema = item.decode()
            spec = schema["spec"]
            level = self._levels.get("", spec["priorityLevelConfiguration"]["name"])
            if level is None:
                continue
            headers = {
                "x-kubernetes-pf-flowschema-uid": schema["metadata"]["uid"],
                "x-kubernetes-pf-prioritylevel-uid": level.decode()["metadata"]["uid"],
            }
            found.append(((spec.get("matchingPrecedence") or 0, item.name), spec, headers))
        return [(spec, headers) for _, spec, headers in sorted(found, key=lambda row: row[0])]


def covers(rule: Json, user: User, info: RequestInfo) -> bool:
    """Whether one of the subjects asks for one of the things."""
    if not any(_is(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if info.resource_request:
        return any(_resource(each, info) for each in rule.get("resourceRules") or ())
    return any(_path(each, info) for each in rule.get("nonResourceRules") or ())


def _is(subject: Json, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return subject["user"]["name"] in ("*", user.name)
    if kind == "Group":
        name = subject["group"]["name"]
        return name == "*" or name in user.groups
    account, wanted = split_service_account(user.name), subject.get("serviceAccount") or {}
    return (
        account is not None
        and account[0] == wanted.get("namespace")
        and wanted.get("name") in ("*", account[1])
    )


def _resource(rule: Json, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if info.namespace:
        placed = _names(rule.get("namespaces"), info.namespace)
    else:
        placed = bool(rule.get("clusterScope"))
    return (
        placed
        and _names(rule.get("verbs"), info.verb)
        and _names(rule.get("apiGroups"), info.group)
        and _names(rule.get("resources"), resource)
    )


def _path(rule: Json, info: RequestInfo) -> bool:
    paths = rule.get("nonResourceURLs") or ()
    return _names(rule.get("verbs"), info.verb) and any(
        path in ("*", info.path) or (path.endswith("/*") and info.path.startswith(path[:-1]))
        for path in paths
    )


def _names(words: list[str] | None, word: str) -> bool:
    return bool(words) and words is not None and ("*" in words or word in words)
