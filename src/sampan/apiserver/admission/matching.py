"""Whether a webhook or policy looks at a write: rules, scope, namespace and object selectors."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import selectors
from sampan.api.meta import Json
from sampan.apiserver.attempts import Attempt
from sampan.apiserver.cacher.collection import Collection

ALL = "*"
NAMESPACES = "namespaces"


def matches(constraints: Json, attempt: Attempt, namespaces: Collection) -> bool:
    """`matchConstraints` of a policy, `matchResources` of its binding, or a webhook."""
    rules = constraints.get("resourceRules") or constraints.get("rules")
    if rules is not None and not any(rule_matches(rule, attempt) for rule in rules):
        return False
    excluded: Sequence[Json] = constraints.get("excludeResourceRules") or ()
    if any(rule_matches(rule, attempt) for rule in excluded):
        return False
    return _namespace_matches(
        constraints.get("namespaceSelector"), attempt, namespaces
    ) and _object_matches(constraints.get("objectSelector"), attempt)


def rule_matches(rule: Json, attempt: Attempt) -> bool:
    rid = attempt.id
    return (
        _listed(rule.get("operations"), attempt.operation)
        and _listed(rule.get("apiGroups"), rid.group)
        and _listed(rule.get("apiVersions"), rid.version)
        and _resource_listed(rule.get("resources") or (), rid.plural, attempt.subresource)
        and _in_scope(rule.get("scope") or ALL, attempt)
        and (not rule.get("resourceNames") or attempt.name in rule["resourceNames"])
    )


def _listed(values: Sequence[str] | None, value: str) -> bool:
    return values is not None and (ALL in values or value in values)


def _resource_listed(values: Sequence[str], plural: str, subresource: str) -> bool:
    for value in values:
        wanted, _, below = value.partition("/")
        if wanted not in (ALL, plural):
            continue
        if below in (subresource, ALL):
            return True
    return False


def _in_scope(scope: str, attempt: Attempt) -> bool:
    namespaced = attempt.id.namespaced
    return scope == ALL or namespaced == (scope == "Namespaced")


def _namespace_matches(selector: Json | None, attempt: Attempt, namespaces: Collection) -> bool:
    if not selector:
        return True
    labels = namespace_labels(attempt, namespaces)
    return labels is None or selectors.from_object(selector).matches(labels)


def namespace_labels(attempt: Attempt, namespaces: Collection) -> Json | None:
    """Of the object's namespace (or the namespace itself); None for cluster-scoped objects."""
    if attempt.id.plural == NAMESPACES and not attempt.id.group:
        obj = attempt.obj or attempt.old or {}
        return (obj.get("metadata") or {}).get("labels") or {}
    if not attempt.namespace:
        return None
    item = namespaces.get("", attempt.namespace)
    return dict(item.labels) if item is not None else {}


def _object_matches(selector: Json | None, attempt: Attempt) -> bool:
    """Either the object as it is to be or as it was has the labels."""
    if not selector:
        return True
    wanted = selectors.from_object(selector)
    for obj in (attempt.obj, attempt.old):
        if obj is not None and wanted.matches((obj.get("metadata") or {}).get("labels") or {}):
            return True
    return False


def request_of(attempt: Attempt) -> Json:
    """The `request` of expressions and reviews (admission.k8s.io AdmissionRequest), without the
    objects.
    """
    rid = attempt.id
    kind = {"group": rid.group, "version": rid.version, "kind": rid.kind}
    resource = {"group": rid.group, "version": rid.version, "resource": rid.plural}
    request: Json = {
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": attempt.name, "namespace": attempt.namespace, "operation": attempt.operation,
        "userInfo": attempt.user.info(), "dryRun": attempt.dry_run,
        "options": attempt.options or {},
    }  # fmt: skip
    if attempt.subresource:
        request["subResource"] = request["requestSubResource"] = attempt.subresource
    return request
