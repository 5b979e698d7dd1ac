"""Requests, limits and claims of a container, and of a pod as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan.api import names, quantity
from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import resource_names
from sampan.resources.core.pod import levels
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)

NameRule = Callable[[str, str], Errors]
POD_LEVEL = ("cpu", "hugepages-", "memory")


def validate_requirements(
    path: str,
    needs: Json,
    claims: frozenset[str],
    rule: NameRule = resource_names.container_name,
) -> Errors:
    limits, requests = needs.get("limits") or {}, needs.get("requests") or {}
    errors: Errors = []
    for name, text in limits.items():
        errors += _amount(f"{path}.limits[{name}]", name, text, rule)
    for name, text in requests.items():
        errors += _amount(f"{path}.requests[{name}]", name, text, rule)
        errors += _against_limit(path, name, text, limits.get(name))
    asked = {*limits, *requests}
    if asked and not asked & {"cpu", "memory"} and any(map(resource_names.is_huge_pages, asked)):
        errors += forbidden(path, "HugePages require cpu or memory")
    if needs.get("claims"):
        errors += _claims(f"{path}.claims", needs["claims"], claims)
    return errors


def validate_pod_level(path: str, spec: Json, claims: frozenset[str]) -> Errors:
    """`spec.resources`: it must hold all containers."""
    needs = spec.get("resources")
    if needs is None:
        return []
    if (spec.get("os") or {}).get("name") == "windows":
        return forbidden(path, "may not be set for a windows pod")
    errors: Errors = []
    if needs.get("claims") is not None:
        says = "claims may not be set for Resources at pod-level"
        errors += forbidden(f"{path}.claims", says)
    errors += validate_requirements(path, needs, claims, _pod_level_name)
    return errors + _covers(path, needs, spec)


def validate_resize_policy(path: str, policies: Sequence[Json], pod_restart: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors += duplicate(f"{path}[{at}]", resource)
        seen.add(resource)
        errors += _choice(path, resource, ("cpu", "memory"))
        errors += _choice(path, restart, ("NotRequired", "RestartContainer"))
        if pod_restart == "Never" and restart != "NotRequired":
            says = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors += invalid(path, restart, says)
    return errors


def _covers(path: str, needs: Json, spec: Json) -> Errors:
    """What is said for the pod must be enough for its containers."""
    errors: Errors = []
    requests, limits = needs.get("requests") or {}, needs.get("limits") or {}
    for name, total in levels.container_requests(spec).items():
        if name in requests and total > quantity.parse(requests[name]):
            says = f"must be greater than or equal to aggregate container requests of {total}"
            errors += invalid(f"{path}.requests[{name}]", requests[name], says)
    for name, total in levels.container_limits(spec).items():
        huge = resource_names.is_huge_pages(name)
        if huge and name in limits and total > quantity.parse(limits[name]):
            says = f"must be greater than or equal to aggregate container limits of {total}"
            errors += invalid(f"{path}.limits[{name}]", limits[name], says)
    for at, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(text) > quantity.parse(limits[name]):
                says = f"must be less than or equal to pod limits of {limits[name]}"
                errors += invalid(f"{path}.containers[{at}][{name}].limits", text, says)
    return errors


def _amount(path: str, name: str, text: str, rule: NameRule) -> Errors:
    errors = rule(path, name) + resource_names.amount(path, name, text)
    if resource_names.is_huge_pages(name) and not resource_names.huge_pages_fit(name, text):
        says = f"{quantity.parse(text)} is not positive integer multiple of {name}"
        errors += invalid(path, text, says)
    return errors


def _against_limit(path: str, name: str, text: str, limit_text: str | None) -> Errors:
    exact = not resource_names.may_overcommit(name)
    if limit_text is None:
        says = "Limit must be set for non overcommitable resources"
        return required(f"{path}.limits", says) if exact else []
    request, limit = quantity.parse(text), quantity.parse(limit_text)
    if exact and request != limit:
        return invalid(
            f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}"
        )
    if request > limit:
        says = f"must be less than or equal to {name} limit of {limit}"
        return invalid(f"{path}.requests", str(request), says)
    return []


def _pod_level_name(path: str, name: str) -> Errors:
    errors = resource_names.valid_name(path, name)
    if errors or levels.is_supported(name):
        return errors
    return not_supported(path, name, POD_LEVEL)


def _choice(path: str, value: str, allowed: tuple[str, ...]) -> Errors:
    if not value:
        return required(path)
    return [] if value in allowed else not_supported(path, value, allowed)


def _claims(path: str, used: Sequence[Json], known: frozenset[str]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, claim in enumerate(used):
        here, name = f"{path}[{at}]", claim.get("name") or ""
        if not name:
            errors += required(here)
            continue
        errors += _claim_twice(here, name, claim.get("request") or "", seen)
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            says = f"must be one of the names in pod.spec.resourceClaims{listed}"
            errors.append(FieldError("NotFound", here, name, says))
    return errors


def _claim_twice(path: str, name: str, request: str, seen: set[str]) -> Errors:
    """A whole claim and one of its requests overlap."""
    if name in seen:
        return duplicate(path, name)
    errors: Errors = []
    key = name
    if request:
        errors += each(f"{path}.request", request, names.dns1123_label(request))
        key = f"{name}/{request}"
    if key in seen:
        errors += duplicate(path, key)
    elif not request:
        errors += [e for k in seen if k.startswith(f"{name}/") for e in duplicate(path, name)]
    seen.add(key)
    return errors
