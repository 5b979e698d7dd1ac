"""Ingress: which host and path of HTTP goes to which Service."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import addresses, cells, rules
from sampan.resources.networking import reference
from sampan.resources.rules import Errors

CLASS_ANNOTATION = "kubernetes.io/ingress.class"

_PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"]
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
SHOWN_HOSTS = 3


def defaults(obj: Json) -> None:
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return _status(new.get("status") or {})
    errors = _spec(new.get("spec") or {}, old.get("spec") or {} if old else None)
    return errors + (_class_twice(new) if old is None else [])


def _class_twice(new: Json) -> Errors:
    """The annotation of old times may stand beside the field, but not say something else."""
    noted = (new["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    named = (new.get("spec") or {}).get("ingressClassName")
    if noted is None or named is None or noted == named:
        return []
    says = "must match `ingressClassName` when both are specified"
    return rules.invalid(f"annotations.{CLASS_ANNOTATION}", noted, says)


def _spec(spec: Json, old: Json | None) -> Errors:
    backend, listed = spec.get("defaultBackend"), spec.get("rules") or ()
    errors: Errors = []
    if backend is None and not listed:
        says = "either `defaultBackend` or `rules` must be specified"
        errors += rules.invalid("spec", None, says)
    if backend is not None:
        errors += _backend("spec.defaultBackend", backend)
    for at, rule in enumerate(listed):
        errors += _rule(f"spec.rules[{at}]", rule, lenient=_has_invalid_wildcard(old))
    for at, tls in enumerate(spec.get("tls") or ()):
        errors += _tls(f"spec.tls[{at}]", tls, lenient=_has_invalid_secret(old))
    name = spec.get("ingressClassName")
    if name is not None:
        errors += rules.each("spec.ingressClassName", name, names.dns1123_subdomain(name))
    return errors


def _has_invalid_secret(old: Json | None) -> bool:
    """Objects from before the rule may be updated."""
    secrets = [tls.get("secretName") for tls in (old or {}).get("tls") or ()]
    return any(name and names.dns1123_subdomain(name) for name in secrets)


def _has_invalid_wildcard(old: Json | None) -> bool:
    """Likewise: paths below a wildcard host were once not looked at."""
    return any(
        "*" in rule.get("host", "") and _http("", rule) for rule in (old or {}).get("rules") or ()
    )


def _tls(path: str, tls: Json, *, lenient: bool) -> Errors:
    errors: Errors = []
    for at, host in enumerate(tls.get("hosts") or ()):
        errors += _host_name(f"{path}.hosts[{at}]", host)
    secret = tls.get("secretName")
    if secret and not lenient:
        errors += rules.each(f"{path}.secretName", secret, names.dns1123_subdomain(secret))
    return errors


def _host_name(path: str, host: str) -> Errors:
    rule = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    return rules.each(path, host, rule(host))


def _rule(path: str, rule: Json, *, lenient: bool) -> Errors:
    host, errors = rule.get("host", ""), rules.none()
    if host:
        if addresses.parse_ip(host) is not None:
            says = "must be a DNS name, not an IP address"
            errors += rules.invalid(f"{path}.host", host, says)
        errors += _host_name(f"{path}.host", host)
    return errors + ([] if "*" in host and lenient else _http(path, rule))


def _http(path: str, rule: Json) -> Errors:
    http = rule.get("http")
    if http is None:
        return []
    paths = http.get("paths") or ()
    if not paths:
        return rules.required(f"{path}.http.paths")
    return [
        error for at, each in enumerate(paths) for error in _path(f"{path}.http.paths[{at}]", each)
    ]


def _path(path: str, each: Json) -> Errors:
    kind, value = each.get("pathType"), each.get("path", "")
    if kind is None:
        return rules.required(f"{path}.pathType", "pathType must be specified")
    errors: Errors = []
    if kind not in _PATH_TYPES:
        errors += rules.not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors += rules.invalid(f"{path}.path", value, "must be an absolute path")
    else:
        errors += rules.each(f"{path}.path", value, _path_faults(value))
    return errors + _backend(f"{path}.backend", each.get("backend") or {})


def _path_faults(value: str) -> list[str]:
    faults = [] if value.startswith("/") else ["must be an absolute path"]
    faults += [f"must not contain '{bad}'" for bad in _BAD_SEQUENCES if bad in value]
    return faults + [f"cannot end with '{bad}'" for bad in _BAD_ENDINGS if value.endswith(bad)]


def _backend(path: str, backend: Json) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return rules.invalid(path, "", "cannot set both resource and service backends")
    if resource is not None:
        return reference.typed_local(f"{path}.resource", resource)
    if service is None:
        return rules.invalid(path, "", "resource or service backend is required")
    name = service.get("name", "")
    errors = rules.named(f"{path}.service.name", name, names.dns1123_label)
    return errors + _port(path, service.get("port") or {})


def _port(path: str, port: Json) -> Errors:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return rules.invalid(path, "", "cannot set both port name & port number")
    if name:
        return rules.each(f"{path}.service.port.name", name, names.port_name(name))
    if number:
        return rules.each(f"{path}.service.port.number", number, names.port_number(number))
    return rules.required(path, "port name or number is required")


def _status(status: Json) -> Errors:
    errors: Errors = []
    for at, ingress in enumerate((status.get("loadBalancer") or {}).get("ingress") or ()):
        path = f"status.loadBalancer.ingress[{at}]"
        if ingress.get("ip"):
            errors += addresses.ip(f"{path}.ip", ingress["ip"], (ingress["ip"],))
        host = ingress.get("hostname")
        if host:
            errors += rules.each(f"{path}.hostname", host, names.dns1123_subdomain(host))
            if addresses.parse_ip(host) is not None:
                says = "must be a DNS name, not an IP address"
                errors += rules.invalid(f"{path}.hostname", host, says)
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    """The annotation is of old times; only its first appearance is worth a word."""
    if old is not None or CLASS_ANNOTATION not in (new["metadata"].get("annotations") or {}):
        return []
    return [
        f'annotation "{CLASS_ANNOTATION}" is deprecated, please use '
        "'spec.ingressClassName' instead"
    ]


def _hosts(obj: Json) -> str:
    listed: Sequence[Json] = (obj.get("spec") or {}).get("rules") or ()
    hosts: list[str] = []
    more = False
    for rule in listed:
        more = more or len(hosts) == SHOWN_HOSTS
        if rule.get("host") and not more:
            hosts.append(rule["host"])
    if not hosts:
        return "*"
    return ",".join(hosts) + (f" + {len(listed) - SHOWN_HOSTS} more..." if more else "")


def _address(obj: Json) -> str:
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    ends = {each.get("ip") or each.get("hostname") for each in balancer.get("ingress") or ()}
    return ",".join(sorted(end for end in ends if end))


INGRESS = Resource(
    id=kinds.INGRESSES,
    schema="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short=("ing",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Class", cells.field("spec", "ingressClassName", default=cells.NONE)),
        cells.column("Hosts", _hosts),
        cells.column("Address", _address),
        cells.column("Ports", lambda obj: "80, 443" if obj["spec"].get("tls") else "80"),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.INGRESSES),),
)
