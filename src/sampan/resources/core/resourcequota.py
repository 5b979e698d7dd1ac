"""The ResourceQuota: what a namespace may hold in sum."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, resource_names
from sampan.resources.rules import IMMUTABLE, Errors, invalid, required

BY_CLASS = ("PriorityClass", "VolumeAttributesClass")
SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
    "Terminating", "VolumeAttributesClass",
)  # fmt: skip
CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
POD_RESOURCES = frozenset(
    ("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
)
MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec, status = new.get("spec") or {}, new.get("status") or {}
    errors: Errors = []
    if subresource != "status":
        errors += _amounts("spec.hard", spec)
        errors += _scopes(spec) + _selector(spec)
    if subresource == "status" or old is None:
        errors += _amounts("status.hard", status) + _amounts("status.used", status)
    if old is not None and subresource != "status":
        before = (old.get("spec") or {}).get("scopes") or []
        now = spec.get("scopes") or []
        if set(now) != set(before):
            errors += invalid("spec.scopes", now or None, IMMUTABLE)
    return errors


def _amounts(path: str, holder: Json) -> Errors:
    errors: Errors = []
    for name, text in (holder.get(path.rpartition(".")[2]) or {}).items():
        here = f"{path}[{name}]"
        errors += resource_names.quota_name(here, name) + resource_names.amount(here, name, text)
    return errors


def _scopes(spec: Json) -> Errors:
    scopes = spec.get("scopes") or []
    errors: Errors = []
    for scope in scopes:
        if scope not in SCOPES:
            errors += invalid("spec.scopes", scopes, "unsupported scope")
        for name in sorted(spec.get("hard") or ()):
            if resource_names.is_quota(name) and not _fits(scope, name):
                says = "unsupported scope applied to resource"
                errors += invalid("spec.scopes", scopes, says)
    return errors + _conflicts(scopes, scopes)


def _selector(spec: Json) -> Errors:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    errors: Errors = []
    for each in selector.get("matchExpressions") or ():
        errors += _expression(path, each, spec, selector)
    named = [each.get("scopeName", "") for each in selector.get("matchExpressions") or ()]
    return errors + _conflicts(named, spec.get("scopes"))


def _expression(path: str, each: Json, spec: Json, selector: Json) -> Errors:
    scope, operator = each.get("scopeName") or "", each.get("operator") or ""
    values = each.get("values") or []
    errors: Errors = []
    if scope not in SCOPES:
        errors += invalid(f"{path}.scopeName", scope, "unsupported scope")
    for name in sorted(spec.get("hard") or ()):
        if resource_names.is_quota(name) and not _fits(scope, name):
            errors += invalid(path, selector, "unsupported scope applied to resource")
    if scope in SCOPES and scope not in BY_CLASS and operator != "Exists":
        errors += invalid(f"{path}.operator", operator, MUST_EXIST)
    if operator in ("In", "NotIn"):
        if not values:
            says = (
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
            errors += required(f"{path}.values", says)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            says = (
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )
            errors += invalid(f"{path}.values", values, says)
    else:
        errors += invalid(f"{path}.operator", operator, "not a valid selector operator")
    return errors


def _conflicts(scopes: Sequence[str], shown: Sequence[str] | None) -> Errors:
    return [
        error
        for pair in CONFLICTS
        if set(pair) <= set(scopes)
        for error in invalid("spec.scopes", shown, "conflicting scopes")
    ]


def _fits(scope: str, name: str) -> bool:
    """BestEffort pods ask for nothing, so only their number can be counted."""
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return scope not in SCOPES or name in POD_RESOURCES


def _used(quota: Json, *, limits: bool) -> str:
    status = quota.get("status") or {}
    used = status.get("used") or {}
    return ", ".join(
        f"{name}: {used.get(name, '0')}/{most}"
        for name, most in sorted((status.get("hard") or {}).items())
        if name.startswith("limits.") == limits
    )


RESOURCEQUOTA = Resource(
    id=kinds.RESOURCEQUOTAS,
    schema="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    metadata_checks="changes",
    short=("quota",),
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Request", lambda quota: _used(quota, limits=False)),
        cells.column("Limit", lambda quota: _used(quota, limits=True)),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.RESOURCEQUOTAS),),
    generation=False,
    returns_deleted=True,
)
