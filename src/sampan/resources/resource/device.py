"""What claims and classes for devices share: selectors, requests, configuration (DRA)."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

MAX_SELECTORS = 32
MAX_REQUESTS = 32
MAX_CONFIG = 32
EXPRESSION_LIMIT = 10 * 1024
_MODES = ["All", "ExactCount"]


def default_request(request: Json) -> None:
    """An exact request asks for one device unless it says otherwise."""
    for exact in (request.get("exactly"), *(request.get("firstAvailable") or ())):
        if exact is None:
            continue
        if not exact.get("allocationMode"):
            exact["allocationMode"] = "ExactCount"
        if exact["allocationMode"] == "ExactCount" and not exact.get("count"):
            exact["count"] = 1


def default_claim(spec: Json) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        default_request(request)


def selectors(path: str, values: Sequence[Json]) -> Errors:
    if len(values) > MAX_SELECTORS:
        return rules.too_many(path, len(values), MAX_SELECTORS)
    errors: Errors = []
    for at, selector in enumerate(values):
        cel = selector.get("cel")
        if cel is None:
            errors += rules.required(f"{path}[{at}].cel")
        elif not cel.get("expression"):
            errors += rules.required(f"{path}[{at}].cel.expression")
        elif len(cel["expression"]) > EXPRESSION_LIMIT:
            errors += rules.too_long(f"{path}[{at}].cel.expression", EXPRESSION_LIMIT)
    return errors


def configuration(path: str, values: Sequence[Json]) -> Errors:
    if len(values) > MAX_CONFIG:
        return rules.too_many(path, len(values), MAX_CONFIG)
    errors: Errors = []
    for at, entry in enumerate(values):
        opaque, here = entry.get("opaque"), f"{path}[{at}].opaque"
        if opaque is None:
            errors += rules.required(here)
            continue
        driver = opaque.get("driver", "")
        errors += rules.named(f"{here}.driver", driver, names.dns1123_subdomain)
        if opaque.get("parameters") is None:
            errors += rules.required(f"{here}.parameters")
    return errors


def claim_spec(path: str, spec: Json) -> Errors:
    devices = spec.get("devices") or {}
    requests = devices.get("requests") or ()
    here = f"{path}.devices"
    if len(requests) > MAX_REQUESTS:
        return rules.too_many(f"{here}.requests", len(requests), MAX_REQUESTS)
    errors, seen = rules.none(), set[str]()
    for at, request in enumerate(requests):
        name = request.get("name", "")
        errors += _request(f"{here}.requests[{at}]", request)
        if name in seen:
            errors += rules.duplicate(f"{here}.requests[{at}].name", name)
        seen.add(name)
    for part in ("constraints", "config"):
        for at, each in enumerate(devices.get(part) or ()):
            errors += _known(f"{here}.{part}[{at}].requests", each.get("requests") or (), seen)
    return errors + configuration(f"{here}.config", devices.get("config") or ())


def _known(path: str, wanted: Sequence[str], known: set[str]) -> Errors:
    errors: Errors = []
    for at, name in enumerate(wanted):
        if name.partition("/")[0] not in known:
            says = "must be the name of a request in the claim or the name of a request and a "
            says += "subrequest separated by '/'"
            errors += rules.invalid(f"{path}[{at}]", name, says)
        if name in wanted[:at]:
            errors += rules.duplicate(f"{path}[{at}]", name)
    return errors


def _request(path: str, request: Json) -> Errors:
    errors = rules.named(f"{path}.name", request.get("name"), names.dns1123_label)
    exact, first = request.get("exactly"), request.get("firstAvailable")
    if (exact is None) == (not first):
        says = "exactly one of `exactly` or `firstAvailable` is required"
        if exact is None:
            return errors + rules.required(path, says)
        return errors + rules.invalid(path, None, says)
    if exact is not None:
        return errors + _exact(f"{path}.exactly", exact)
    for at, sub in enumerate(first or ()):
        here = f"{path}.firstAvailable[{at}]"
        errors += rules.named(f"{here}.name", sub.get("name"), names.dns1123_label)
        errors += _exact(here, sub)
    return errors


def _exact(path: str, exact: Json) -> Errors:
    name = exact.get("deviceClassName", "")
    errors = rules.named(f"{path}.deviceClassName", name, names.dns1123_subdomain)
    errors += selectors(f"{path}.selectors", exact.get("selectors") or ())
    mode, count = exact.get("allocationMode"), exact.get("count", 0)
    if mode not in _MODES:
        return errors + rules.not_supported(f"{path}.allocationMode", mode, _MODES)
    if mode == "All" and count:
        says = "must not be specified when allocationMode is 'All'"
        return errors + rules.invalid(f"{path}.count", count, says)
    if mode == "ExactCount" and count <= 0:
        return errors + rules.invalid(f"{path}.count", count, "must be greater than zero")
    return errors
