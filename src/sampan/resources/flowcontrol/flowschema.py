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
)  # fmt: skip
_NAMESPACES = "each member of this list must be '*' or a DNS-1123 label; "
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
        errors += rules.not_supported("spec.distinguisherMethod.type", {"Type": kind}, _METHODS)
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
        if kind in seen:
            errors += rules.duplicate(path, kind)
        seen.add(kind)
        if not kind:
            errors += rules.required(path)
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
        errors += _urls(f"{here}.nonResourceURLs", each.get("nonResourceURLs") or ())
    return errors


def _urls(path: str, urls: Sequence[str]) -> Errors:
    if not urls:
        return rules.required(path, "nonResourceURLs must contain at least one value")
    if "*" in urls:
        says = "if '*' is present, must not specify other non-resource URLs"
        return rules.invalid(path, list(urls), says) if len(urls) > 1 else []
    return [
        error
        for at, url in enumerate(urls)
        if (says := _url_fault(url))
        for error in rules.invalid(f"{path}[{at}]", url, says)
    ]


def _url_fault(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _subject(path: str, subject: Json) -> Errors:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        return rules.not_supported(f"{path}.kind", kind, sorted(_SUBJECTS))
    errors: Errors = []
    for other, field in sorted(_SUBJECTS.items(), key=lambda each: each[0] != kind):
        given = subject.get(field)
        if other != kind and given is not None:
            detail = f"{field} is forbidden when subject kind is not '{other}'"
            errors += rules.forbidden(f"{path}.{field}", detail)
        if other == kind and given is None:
            detail = f"{field} is required when subject kind is '{kind}'"
            errors += rules.required(f"{path}.{field}", detail)
        if other == kind and given is not None and not given.get("name"):
            errors += rules.required(f"{path}.{field}.name")
    account = subject.get("serviceAccount")
    if kind == "ServiceAccount" and account is not None:
        name, here = account.get("name") or "", f"{path}.serviceAccount"
        if name and name != "*":
            errors += rules.each(f"{here}.name", name, names.dns1123_subdomain(name))
        detail = "must specify namespace for service account"
        namespace = account.get("namespace")
        errors += rules.named(f"{here}.namespace", namespace, names.dns1123_label, detail)
    return errors


def _resource_rule(path: str, rule: Json) -> Errors:
    errors = _verbs(f"{path}.verbs", rule.get("verbs") or ())
    for field, what in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(field) or ()
        if not values:
            detail = f"resource rules must supply at least one {what}"
            errors += rules.required(f"{path}.{field}", detail)
        errors += _alone(f"{path}.{field}", values, f"{what}s")
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors += rules.required(f"{path}.namespaces", detail)
    if "*" in namespaces:
        return errors + _alone(f"{path}.namespaces", namespaces, "namespaces")
    for at, namespace in enumerate(namespaces):
        faults = [f"{_NAMESPACES}{fault}" for fault in names.dns1123_label(namespace)]
        errors += rules.each(f"{path}.namespaces[{at}]", namespace, faults)
    return errors


def _verbs(path: str, verbs: Sequence[str]) -> Errors:
    if not verbs:
        return rules.required(path, "verbs must contain at least one value")
    if "*" in verbs:
        return _alone(path, verbs, "verbs")
    if not set(verbs) <= set(_VERBS):
        return rules.not_supported(path, list(verbs), sorted(_VERBS))
    return []


def _alone(path: str, values: Sequence[str], what: str) -> Errors:
    if len(values) > 1 and "*" in values:
        says = f"if '*' is present, must not specify other {what}"
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
    metadata_checks="whole",
    status_metadata_checks="none",
    status_keeps=("*",),
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
    row_order=lambda obj: obj["spec"].get("matchingPrecedence", 0),
    subresources=(Subresource("status", kinds.FLOWSCHEMAS),),
)
