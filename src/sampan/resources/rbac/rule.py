"""What a Role and a ClusterRole share: their policy rules."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

GROUP = "rbac.authorization.k8s.io"


def defaults(obj: Json) -> None:
    """`rules` is always shown, as null when there are none."""
    if not obj.get("rules"):
        obj["rules"] = None


def policy_rules(obj: Json, *, namespaced: bool) -> Errors:
    errors: Errors = []
    for at, rule in enumerate(obj.get("rules") or ()):
        errors += _rule(f"rules[{at}]", rule, namespaced)
    return errors


def _rule(path: str, rule: Json, namespaced: bool) -> Errors:
    errors: Errors = []
    if not rule.get("verbs"):
        errors += rules.required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        return errors + _urls(f"{path}.nonResourceURLs", rule, namespaced)
    if not rule.get("apiGroups"):
        detail = "resource rules must supply at least one api group"
        errors += rules.required(f"{path}.apiGroups", detail)
    if not rule.get("resources"):
        detail = "resource rules must supply at least one resource"
        errors += rules.required(f"{path}.resources", detail)
    return errors


def _urls(path: str, rule: Json, namespaced: bool) -> Errors:
    errors, urls = rules.none(), rule["nonResourceURLs"]
    if namespaced:
        says = "namespaced rules cannot apply to non-resource URLs"
        errors += rules.invalid(path, urls, says)
    if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
        says = "rules cannot apply to both regular resources and non-resource URLs"
        errors += rules.invalid(path, urls, says)
    return errors
