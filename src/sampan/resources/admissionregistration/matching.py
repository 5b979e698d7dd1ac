"""Which requests a webhook or policy looks at: rules with operations, selectors, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.admissionregistration import expressions
from sampan.resources.cel.types import Kind
from sampan.resources.rules import Errors

MAX_CONDITIONS = 64
MATCH_POLICIES = ["Equivalent", "Exact"]
FAILURE_POLICIES = ["Fail", "Ignore"]
_OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
_SCOPES = ["*", "Cluster", "Namespaced"]


def default_rules(values: Sequence[Json] | None) -> None:
    for rule in values or ():
        rule.setdefault("scope", "*")


def default_constraints(constraints: Json | None) -> None:
    """`matchConstraints` and `matchResources`."""
    if constraints is None:
        return
    constraints.setdefault("matchPolicy", "Equivalent")
    constraints.setdefault("namespaceSelector", {})
    constraints.setdefault("objectSelector", {})
    default_rules(constraints.get("resourceRules"))
    default_rules(constraints.get("excludeResourceRules"))


def rule_with_operations(path: str, rule: Json) -> Errors:
    operations = rule.get("operations") or ()
    errors: Errors = []
    if not operations:
        errors += rules.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        says = "if '*' is present, must not specify other operations"
        errors += rules.invalid(f"{path}.operations", list(operations), says)
    for at, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            errors += rules.not_supported(f"{path}.operations[{at}]", operation, _OPERATIONS)
    return errors + _rule(path, rule)


def _rule(path: str, rule: Json) -> Errors:
    errors = _groups(f"{path}.apiGroups", rule.get("apiGroups") or (), "API groups")
    versions = rule.get("apiVersions") or ()
    errors += _groups(f"{path}.apiVersions", versions, "API versions")
    for at, version in enumerate(versions):
        if not version:
            errors += rules.required(f"{path}.apiVersions[{at}]")
    errors += _resources(f"{path}.resources", rule.get("resources") or ())
    scope = rule.get("scope")
    if scope is not None and scope not in _SCOPES:
        errors += rules.not_supported(f"{path}.scope", scope, _SCOPES)
    return errors


def _groups(path: str, values: Sequence[str], what: str) -> Errors:
    if not values:
        return rules.required(path)
    if len(values) > 1 and "*" in values:
        says = f"if '*' is present, must not specify other {what}"
        return rules.invalid(path, list(values), says)
    return []


def _resources(path: str, resources: Sequence[str]) -> Errors:
    if not resources:
        return rules.required(path)
    errors: Errors = []
    wild: set[str] = set()  # Of those that stand before.
    for at, resource in enumerate(resources):
        main, slash, sub = resource.partition("/")
        if not resource:
            errors += rules.required(f"{path}[{at}]")
        if not slash:
            continue
        for over in (f"{main}/*", f"*/{sub}"):
            if over in wild:
                says = f"if '{over}' is present, must not specify {resource}"
                errors += rules.invalid(f"{path}[{at}]", resource, says)
        if "*" in (main, sub):
            wild.add(resource)
    last = next((each for each in reversed(resources) if each and "/" not in each), "*")
    if len(resources) > 1 and "*/*" in resources:
        says = "if '*/*' is present, must not specify other resources"
        errors += rules.invalid(path, list(resources), says)
    if "*" in resources and last != "*":
        says = "if '*' is present, must not specify other resources without subresources"
        errors += rules.invalid(path, list(resources), says)
    return errors


def constraints(path: str, value: Json) -> Errors:
    errors = rules.choice(f"{path}.matchPolicy", value.get("matchPolicy"), MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if value.get(field) is None:
            errors += rules.required(f"{path}.{field}")
        errors += rules.label_selector(f"{path}.{field}", value.get(field))
    for field in ("resourceRules", "excludeResourceRules"):
        for at, rule in enumerate(value.get(field) or ()):
            errors += _named_rule(f"{path}.{field}[{at}]", rule)
    return errors


def _named_rule(path: str, rule: Json) -> Errors:
    errors, listed = rules.none(), rule.get("resourceNames") or ()
    for at, name in enumerate(listed):
        here = f"{path}.resourceNames[{at}]"
        errors += rules.each(here, name, names.path_segment(name))
        if name in listed[:at]:
            errors += rules.duplicate(here, name)
    return errors + rule_with_operations(path, rule)


def conditions(path: str, values: Sequence[Json], known: Mapping[str, Kind]) -> Errors:
    """`matchConditions`: named expressions that must all hold."""
    errors: Errors = []
    if len(values) > MAX_CONDITIONS:
        errors += rules.too_many(path, len(values), MAX_CONDITIONS)
    seen: set[str] = set()
    for at, condition in enumerate(values):
        here, name = f"{path}[{at}]", condition.get("name", "")
        text = condition.get("expression", "").strip()
        if text:
            says = expressions.boolean(text, known)
            errors += rules.each(f"{here}.expression", text, says)
        else:
            errors += rules.required(f"{here}.expression")
        errors += rules.named(f"{here}.name", name, names.qualified_name)
        if name and name in seen:
            errors += rules.duplicate(f"{here}.name", name)
        seen.add(name)
    return errors
