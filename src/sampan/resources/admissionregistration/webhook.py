"""Webhook configurations, validating and mutating: other programs that admission asks."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.admissionregistration import expressions, matching
from sampan.resources.rules import Errors

REVIEW_VERSIONS = ("v1", "v1beta1")
_SIDE_EFFECTS = ["None", "NoneOnDryRun"]
_REINVOCATION = ["IfNeeded", "Never"]
_FORM = "; desired format: https://host[/path]"


def defaults(obj: Json) -> None:
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        matching.default_rules(hook.get("rules"))


def mutating_defaults(obj: Json) -> None:
    defaults(obj)
    for hook in obj.get("webhooks") or ():
        hook.setdefault("reinvocationPolicy", "Never")


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors, seen = rules.none(), set[str]()
    for at, hook in enumerate(new.get("webhooks") or ()):
        path, name = f"webhooks[{at}]", hook.get("name", "")
        errors += _hook(path, hook)
        if name and name in seen:
            errors += rules.duplicate(f"{path}.name", name)
        seen.add(name)
    return errors


def _hook(path: str, hook: Json) -> Errors:
    errors = _full_name(f"{path}.name", hook.get("name", ""))
    for at, rule in enumerate(hook.get("rules") or ()):
        errors += matching.rule_with_operations(f"{path}.rules[{at}]", rule)
    for field, allowed in (
        ("failurePolicy", matching.FAILURE_POLICIES),
        ("matchPolicy", matching.MATCH_POLICIES),
    ):
        errors += rules.choice(f"{path}.{field}", hook.get(field), allowed, needed=False)
    effects = hook.get("sideEffects")
    if effects is None:
        detail = "must specify one of None, NoneOnDryRun"
        errors += rules.required(f"{path}.sideEffects", detail)
    elif effects not in _SIDE_EFFECTS:
        errors += rules.not_supported(f"{path}.sideEffects", effects, _SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        says = "the timeout value must be between 1 and 30 seconds"
        errors += rules.invalid(f"{path}.timeoutSeconds", seconds, says)
    for field in ("namespaceSelector", "objectSelector"):
        errors += rules.label_selector(f"{path}.{field}", hook.get(field))
    again = hook.get("reinvocationPolicy")
    errors += rules.choice(f"{path}.reinvocationPolicy", again, _REINVOCATION, needed=False)
    errors += _client(f"{path}.clientConfig", hook.get("clientConfig") or {})
    listed = hook.get("admissionReviewVersions") or ()
    errors += _versions(f"{path}.admissionReviewVersions", listed)
    conditions, known = hook.get("matchConditions") or (), expressions.scope(with_params=False)
    return errors + matching.conditions(f"{path}.matchConditions", conditions, known)


def _full_name(path: str, name: str) -> Errors:
    errors = rules.named(path, name, names.dns1123_subdomain)
    if not errors and len(name.split(".")) < 3:
        says = "should be a domain with at least three segments separated by dots"
        errors += rules.invalid(path, name, says)
    return errors


def _versions(path: str, versions: Sequence[str]) -> Errors:
    if not versions:
        return rules.required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
    errors: Errors = []
    for at, version in enumerate(versions):
        if version in versions[:at]:
            errors += rules.invalid(f"{path}[{at}]", version, "duplicate version")
            continue
        faults = names.dns1035_label(version)
        if faults:
            errors += rules.invalid(f"{path}[{at}]", version, ",".join(faults))
    if not any(version in REVIEW_VERSIONS for version in versions):
        says = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        errors += rules.invalid(path, list(versions), says)
    return errors


def _client(path: str, client: Json) -> Errors:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return rules.required(path, "exactly one of url or service is required")
    if url is not None:
        return webhook_url(f"{path}.url", url)
    return webhook_service(f"{path}.service", service or {})


def webhook_url(path: str, url: str) -> Errors:
    """Also for conversion webhooks of custom resources."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return rules.required(path, f"url must be a valid URL: {error}{_FORM}")
    errors: Errors = []
    if parts.scheme != "https":
        says = f"'https' is the only allowed URL scheme{_FORM}"
        errors += rules.invalid(path, parts.scheme, says)
    user, _, host = parts.netloc.rpartition("@")
    if not host:
        errors += rules.invalid(path, host, f"host must be specified{_FORM}")
    for part, what in (
        (user, "user information is"), (parts.fragment, "fragments are"),
        (parts.query, "query parameters are"),
    ):  # fmt: skip
        if part:
            errors += rules.invalid(path, part, f"{what} not permitted in the URL")
    return errors


def webhook_service(path: str, service: Json) -> Errors:
    errors: Errors = []
    # Upstream hands the two over in the wrong order, and so names the other one.
    for field, shown in (("namespace", "name"), ("name", "namespace")):
        if not service.get(field):
            errors += rules.required(f"{path}.{shown}")
    port = service.get("port", 443)
    faults = names.port_number(port)
    if faults:
        says = f"port is not valid: {','.join(faults)}"
        errors += rules.invalid(f"{path}.port", port, says)
    url_path = service.get("path")
    return errors + ([] if url_path is None else _url_path(f"{path}.path", url_path))


def _url_path(path: str, value: str) -> Errors:
    if value in ("", "/"):
        return []
    steps = value[1:].removesuffix("/").split("/")
    errors: Errors = []
    if not value.startswith("/"):
        errors += rules.invalid(path, value, "must start with a '/'")
    for at, step in enumerate(steps):
        if not step:
            errors += rules.invalid(path, value, f"segment[{at}] may not be empty")
            continue
        faults = names.dns1123_subdomain(step)
        errors += rules.each(path, value, [f"segment[{at}]: {fault}" for fault in faults])
    return errors


_COLUMNS = (
    cells.NAME,
    cells.column("Webhooks", lambda obj: len(obj.get("webhooks") or ()), type="integer"),
    cells.AGE,
)

MUTATINGWEBHOOKCONFIGURATION = Resource(
    id=kinds.MUTATINGWEBHOOKCONFIGURATIONS,
    metadata_checks="whole",
    schema="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    free_finalizers=True,
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    defaults=mutating_defaults,
    validate=validate,
    columns=_COLUMNS,
    unconditional_update=False,
)

VALIDATINGWEBHOOKCONFIGURATION = Resource(
    id=kinds.VALIDATINGWEBHOOKCONFIGURATIONS,
    metadata_checks="whole",
    schema="io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    free_finalizers=True,
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    defaults=defaults,
    validate=validate,
    columns=_COLUMNS,
    unconditional_update=False,
)
