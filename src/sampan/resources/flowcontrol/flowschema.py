"""FlowSchema: which requests belong to which priority level."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

EXEMPT = "exempt"
USUAL_PRECEDENCE = 1000
MAX_PRECEDENCE = 10000
_METHODS = ["ByNamespace", "ByUser"]
_VERBS = (
    "get", "list", "create", "update", "delete", "deletecollection", "patch", "watch", "proxy",
    "head", "post", "put", "options",
)  # fmt: skip
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = USUAL_PRECEDENCE


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return conditions(new)
    spec, errors = new.get("spec") or {}, rules.none()
    precedence, path = spec.get("matchingPrecedence", 0), "spec.matchingPrecedence"
    if precedence <= 0:
        errors += rules.invalid(path, precedence, "must be a positive value")
    if precedence > MAX_PRECEDENCE:
        says = f"must not be greater than {MAX_PRECEDENCE}"
        errors += rules.invalid(path, precedence, says)
    if precedence == 1 and new["metadata"].get("name") != EXEMPT:
        says = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors += rules.invalid(path, precedence, says)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        kind = method.get("type", "")
        errors += rules.not_supported("spec.distinguisherMethod.type", kind, _METHODS)
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    errors += rules.named(
        "spec.priorityLevelConfiguration.name",
        level,
        names.dns1123_subdomain,
        "must reference a priority level",
    )
    for at, rule in enumerate(spec.get("rules") or ()):
        errors += _rule(f"spec.rules[{at}]", rule)
    return errors


def conditions(new: Json) -> Errors:
    """Conditions of status, here and in priority levels: each type once."""
    errors, seen = rules.none(), set[str]()
    for at, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{at}].type", condition.get("type", "")
        if not kind:
            errors += rules.required(path)
        if kind in seen:
            errors += rules.duplicate(path, kind)
        seen.add(kind)
    return errors


def _rule(path: str, rule: Json) -> Errors:
    errors: Errors = []
    subjects = rule.get("subjects") or ()
    if not subjects:
        errors += rules.required(f"{path}.subjects", "subjects must contain at least one value")
    for at, subject in enumerate(subjects):
        errors += _subject(f"{path}.subjects[{at}]", subject)
    of_resources, others = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not of_resources and not others:
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors += rules.required(path, detail)
    for at, each in enumerate(of_resources):
        errors += _resource_rule(f"{path}.resourceRules[{at}]", each)
    for at, each in enumerate(others):
        here = f"{path}.nonResourceRules[{at}]"
        errors += _verbs(f"{here}.verbs", each.get("verbs") or ())
        if not each.get("nonResourceURLs"):
            detail = "nonResource rules must supply at least one nonResourceURL"
            errors += rules.required(f"{here}.nonResourceURLs", detail)
    return errors


def _subject(path: str, subject: Json) -> Errors:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        return rules.not_supported(f"{path}.kind", kind, sorted(_SUBJECTS))
    errors: Errors = []
    for other, field in _SUBJECTS.items():
        given = subject.get(field)
        if other != kind and given is not None:
            detail = f"{field} is forbidden when subject kind is not '{other}'"
            errors += rules.forbidden(f"{path}.{field}", detail)
        if other == kind and given is None:
            detail = f"{field} is required when subject kind is '{kind}'"
            errors += rules.required(f"{path}.{field}", detail)
        if other == kind and given is not None and not given.get("name"):
            errors += rules.required(f"{path}.{field}.name")
    account = subject.get("serviceAccount") or {}
    if kind == "ServiceAccount" and account and not account.get("namespace"):
        detail = "must specify namespace for service account"
        errors += rules.required(f"{path}.serviceAccount.namespace", detail)
    return errors


def _resource_rule(path: str, rule: Json) -> Errors:
    errors = _verbs(f"{path}.verbs", rule.get("verbs") or ())
    for field, what in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(field) or ()
        if not values:
            detail = f"resource rules must supply at least one {what}"
            errors += rules.required(f"{path}.{field}", detail)
        errors += _alone(f"{path}.{field}", values)
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors += rules.required(f"{path}.namespaces", detail)
    for at, namespace in enumerate(namespaces):
        if namespace != "*":
            faults = names.dns1123_label(namespace)
            errors += rules.each(f"{path}.namespaces[{at}]", namespace, faults)
    return errors + _alone(f"{path}.namespaces", namespaces)


def _verbs(path: str, verbs: Sequence[str]) -> Errors:
    if not verbs:
        return rules.required(path, "verbs must contain at least one value")
    unknown = [verb for verb in verbs if verb not in _VERBS and verb != "*"]
    if unknown:
        return rules.not_supported(path, unknown, sorted(_VERBS))
    return _alone(path, verbs)


def _alone(path: str, values: Sequence[str]) -> Errors:
    if len(values) > 1 and "*" in values:
        says = "if '*' is present, must not specify other " + path.rpartition(".")[2]
        return rules.invalid(path, list(values), says)
    return []


def _missing_level(obj: Json) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Dangling":
            return str(condition.get("status", "?"))
    return "?"


FLOWSCHEMA = Resource(
    id=kinds.FLOWSCHEMAS,
    schema="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("PriorityLevel", cells.field("spec", "priorityLevelConfiguration", "name")),
        cells.column("MatchingPrecedence", cells.field("spec", "matchingPrecedence", default=0)),
        cells.column(
            "DistinguisherMethod",
            cells.field("spec", "distinguisherMethod", "type", default=cells.NONE),
        ),
        cells.AGE,
        cells.column("MissingPL", _missing_level),
    ),
    subresources=(Subresource("status", kinds.FLOWSCHEMAS),),
)
