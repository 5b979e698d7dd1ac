"""What claims and classes for devices share (DRA): selectors, requests, configuration."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import orjson

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.cel import program, types
from sampan.resources.rules import Errors

MAX_SELECTORS = 32
MAX_REQUESTS = 32
MAX_CONSTRAINTS = 32
MAX_CONFIG = 32
MAX_SUBREQUESTS = 8
EXPRESSION_LIMIT = 10 * 1024
PARAMETERS_LIMIT = 10 * 1024
DRIVER_LIMIT = 63
POOL_LIMIT = 253
IDENTIFIER_LIMIT = 32
EFFECTS = ("NoExecute", "NoSchedule", "None")
_MODES = ("All", "ExactCount")
_OPERATORS = ("Equal", "Exists")
_NO_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)
Requests = dict[str, frozenset[str]]
"""The names of a claim's requests, with those of their alternatives."""
ItemRule = Callable[[str, Any], Errors]


DEVICE = types.object_of(
    {
        "driver": types.STRING,
        "attributes": types.map_of(types.map_of(types.DYN)),
        "capacity": types.map_of(types.map_of(types.DYN)),
        "allowMultipleAllocations": types.BOOL,
    },
    "DRADevice",
)
"""What a selector sees of a device."""


def default_request(request: Json) -> None:
    """A request asks for one device unless it says otherwise."""
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


def each_of(path: str, values: Sequence[Any] | None, rule: ItemRule, most: int) -> Errors:
    """A list of at most so many; when it is longer, that is all there is to say."""
    values = values or ()
    if 0 <= most < len(values):
        return rules.too_many(path, len(values), most)
    return [error for at, value in enumerate(values) for error in rule(f"{path}[{at}]", value)]


def set_of(
    path: str,
    values: Sequence[Any] | None,
    rule: ItemRule,
    most: int,
    key: Callable[[Any], Hashable] = str,
) -> Errors:
    """Likewise, and no key twice."""
    values = values or ()
    errors = each_of(path, values, rule, most)
    if 0 <= most < len(values):
        return errors
    seen: set[Hashable] = set()
    for at, value in enumerate(values):
        this = key(value)
        if this in seen:
            errors += rules.duplicate(f"{path}[{at}]", this)
        seen.add(this)
    return errors


def name_of(value: Json) -> str:
    return str(value.get("name") or "")


def driver_name(path: str, name: str) -> Errors:
    """As of a CSI driver: a subdomain of any case, 63 characters at most."""
    if not name:
        return rules.required(path)
    errors = rules.too_long(path, DRIVER_LIMIT) if len(name) > DRIVER_LIMIT else []
    return errors + rules.each(path, name, names.dns1123_subdomain(name.lower()))


def pool_name(path: str, name: str) -> Errors:
    if not name:
        return rules.required(path)
    errors = rules.too_long(path, POOL_LIMIT) if len(name) > POOL_LIMIT else []
    for part in name.split("/"):
        errors += rules.each(path, part, names.dns1123_subdomain(part))
    return errors


def qualified(path: str, name: str) -> Errors:
    """`domain/identifier`, or the identifier alone."""
    domain, slash, rest = name.partition("/")
    if not slash:
        return _identifier(path, name)
    if "/" in rest:
        return []
    errors = driver_name(path, domain)
    if not domain:
        errors = rules.invalid(path, "", "the domain must not be empty")
    if not rest:
        return errors + rules.invalid(path, "", "the name must not be empty")
    return errors + _identifier(path, rest)


def fully_qualified(path: str, name: str) -> Errors:
    errors = qualified(path, name)
    if "/" not in name:
        says = "a fully qualified name must be a domain and a name separated by a slash"
        errors += rules.invalid(path, name, says)
    return errors


def _identifier(path: str, name: str) -> Errors:
    errors = rules.too_long(path, IDENTIFIER_LIMIT) if len(name) > IDENTIFIER_LIMIT else []
    return errors + rules.each(path, name, names.c_identifier(name))


def selectors(path: str, values: Sequence[Json] | None) -> Errors:
    return each_of(path, values, _selector, MAX_SELECTORS)


def _selector(path: str, selector: Json) -> Errors:
    cel = selector.get("cel")
    if cel is None:
        return rules.required(f"{path}.cel")
    text, here = cel.get("expression") or "", f"{path}.cel.expression"
    if len(text) > EXPRESSION_LIMIT:
        return rules.too_long(here, EXPRESSION_LIMIT)
    try:
        compiled = program.compile_expression(text, {"device": DEVICE})
    except program.CompileError as error:
        return rules.invalid(here, text, f"compilation failed: {error}")
    if not program.expects(compiled, types.BOOL):
        return rules.invalid(here, text, "must evaluate to bool or the unknown type")
    return []


def configuration(path: str, entry: Json) -> Errors:
    opaque, here = entry.get("opaque"), f"{path}.opaque"
    if opaque is None:
        return rules.required(here)
    errors = driver_name(f"{here}.driver", opaque.get("driver") or "")
    return errors + raw_object(f"{here}.parameters", opaque.get("parameters"), PARAMETERS_LIMIT)


def raw_object(path: str, value: Any, most: int) -> Errors:
    """Free data that must be a JSON object."""
    if value is None:
        return rules.required(path)
    if len(orjson.dumps(value)) > most:
        return rules.too_long(path, most)
    if not isinstance(value, dict):
        return rules.invalid(path, "<value omitted>", "must be a valid JSON object")
    return []


def request_names(spec: Json) -> Requests:
    return {
        name_of(request): frozenset(name_of(sub) for sub in request.get("firstAvailable") or ())
        for request in (spec.get("devices") or {}).get("requests") or ()
    }


def request_reference(known: Requests) -> ItemRule:
    """The rule for a name that must be a request's, or `request/subrequest`."""

    def rule(path: str, name: str) -> Errors:
        segments = name.split("/")
        if len(segments) > 2:
            return rules.invalid(path, name, _NO_REQUEST)
        errors: Errors = []
        for segment in segments:
            errors += rules.each(path, segment, names.dns1123_label(segment))
        subs = known.get(segments[0])
        if subs is None or (len(segments) > 1 and segments[1] not in subs):
            errors += rules.invalid(path, name, _NO_REQUEST)
        return errors

    return rule


def claim_spec(path: str, spec: Json) -> Errors:
    devices, here = spec.get("devices") or {}, f"{path}.devices"
    reference = request_reference(request_names(spec))

    def constraint(at: str, value: Json) -> Errors:
        errors = set_of(f"{at}.requests", value.get("requests"), reference, MAX_REQUESTS)
        return errors + _attribute(at, value)

    def config(at: str, value: Json) -> Errors:
        errors = set_of(f"{at}.requests", value.get("requests"), reference, MAX_REQUESTS)
        return errors + configuration(at, value)

    errors = set_of(f"{here}.requests", devices.get("requests"), _request, MAX_REQUESTS, name_of)
    errors += each_of(
        f"{here}.constraints", devices.get("constraints"), constraint, MAX_CONSTRAINTS
    )
    return errors + each_of(f"{here}.config", devices.get("config"), config, MAX_CONFIG)


def _attribute(path: str, constraint: Json) -> Errors:
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            return fully_qualified(f"{path}.{field}", constraint[field])
    says = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
    return rules.required(path, f"{says}fields are set")


def _request(path: str, request: Json) -> Errors:
    errors = rules.each(f"{path}.name", name_of(request), names.dns1123_label(name_of(request)))
    exact, first = request.get("exactly"), request.get("firstAvailable")
    says = "exactly one of `exactly` or `firstAvailable` is required"
    if exact is None and not first:
        return errors + rules.required(path, says)
    if exact is not None and first:
        return errors + rules.invalid(path, None, f"{says}, but multiple fields are set")
    if exact is not None:
        return errors + _exact(f"{path}.exactly", exact)
    here = f"{path}.firstAvailable"
    return errors + set_of(here, first, _alternative, MAX_SUBREQUESTS, name_of)


def _alternative(path: str, sub: Json) -> Errors:
    errors = rules.each(f"{path}.name", name_of(sub), names.dns1123_label(name_of(sub)))
    return errors + _exact(path, sub)


def _exact(path: str, exact: Json) -> Errors:
    name = exact.get("deviceClassName", "")
    errors = rules.named(f"{path}.deviceClassName", name, names.dns1123_subdomain)
    errors += selectors(f"{path}.selectors", exact.get("selectors"))
    errors += _mode(path, exact)
    return errors + each_of(f"{path}.tolerations", exact.get("tolerations"), _toleration, -1)


def _mode(path: str, exact: Json) -> Errors:
    mode, count = exact.get("allocationMode"), exact.get("count") or 0
    if mode not in _MODES:
        return rules.not_supported(f"{path}.allocationMode", mode, _MODES)
    if mode == "All" and count:
        says = "must not be specified when allocationMode is 'All'"
        return rules.invalid(f"{path}.count", count, says)
    if mode == "ExactCount" and count <= 0:
        return rules.invalid(f"{path}.count", count, "must be greater than zero")
    return []


def _toleration(path: str, toleration: Json) -> Errors:
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    operator = toleration.get("operator")
    errors = rules.each(f"{path}.key", key, names.qualified_name(key)) if key else []
    if operator == "Exists" and value:
        errors += rules.invalid(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        errors += rules.each(f"{path}.value", value, names.label_value(value))
    errors += rules.one_of(f"{path}.operator", operator, _OPERATORS)
    return errors + rules.one_of(f"{path}.effect", toleration.get("effect"), EFFECTS, needed=False)
