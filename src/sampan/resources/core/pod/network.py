"""Names and addresses of a pod: resolver settings, host names, ports on the host's network."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.rules import (
    Errors,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
NAMESERVERS_LIMIT = 3
SEARCHES_LIMIT = 32
SEARCH_CHARS_LIMIT = 2048
HOSTNAME_LIMIT = 64


def validate_dns_policy(path: str, policy: str) -> Errors:
    if not policy:
        return required(path)
    return [] if policy in DNS_POLICIES else not_supported(path, policy, DNS_POLICIES)


def validate_dns_config(path: str, config: Json | None, policy: str) -> Errors:
    if policy == "None":
        if config is None:
            return required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        if not config.get("nameservers"):
            says = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return required(f"{path}.nameservers", says)
    if not config:
        return []
    servers = config.get("nameservers") or ()
    errors: Errors = []
    if len(servers) > NAMESERVERS_LIMIT:
        says = f"must not have more than {NAMESERVERS_LIMIT} nameservers"
        errors += invalid(f"{path}.nameservers", list(servers), says)
    for at, server in enumerate(servers):
        errors += addresses.ip(f"{path}.nameservers[{at}]", server)
    errors += _searches(f"{path}.searches", list(config.get("searches") or ()))
    for at, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors += required(f"{path}.options[{at}]", "must not be empty")
    return errors


def validate_host_network_ports(path: str, spec: Json, *, is_pod: bool) -> Errors:
    """There a container's port is the host's; a template may leave it to the pod."""
    errors: Errors = []
    for at, container in enumerate(spec.get("containers") or ()):
        for index, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                says = "must match `containerPort` when `hostNetwork` is true"
                errors += invalid(f"{path}.containers[{at}].ports[{index}].hostPort", host, says)
    return errors


def validate_names(path: str, spec: Json) -> Errors:
    errors: Errors = []
    for field in ("hostname", "subdomain"):
        if value := spec.get(field):
            errors += each(f"{path}.{field}", value, names.dns1123_label(value))
    return errors


def validate_hostname_override(path: str, spec: Json) -> Errors:
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    here = f"{path}.hostnameOverride"
    errors: Errors = []
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(field):
            errors += forbidden(here, f"may not be specified when {field} is true")
    if len(name) > HOSTNAME_LIMIT:
        errors += too_long(here, HOSTNAME_LIMIT)
    return errors + each(here, name, names.dns1123_subdomain(name))


def validate_host_aliases(path: str, spec: Json) -> Errors:
    errors: Errors = []
    for at, alias in enumerate(spec.get("hostAliases") or ()):
        errors += addresses.ip(f"{path}[{at}].ip", alias.get("ip") or "")
        for index, name in enumerate(alias.get("hostnames") or ()):
            here = f"{path}[{at}].hostnames[{index}]"
            errors += each(here, name, names.dns1123_subdomain(name))
    return errors


def _searches(path: str, searches: list[str]) -> Errors:
    errors: Errors = []
    if len(searches) > SEARCHES_LIMIT:
        says = f"must not have more than {SEARCHES_LIMIT} search paths"
        errors += invalid(path, searches, says)
    if len(" ".join(searches)) > SEARCH_CHARS_LIMIT:
        says = (
            f"must not have more than {SEARCH_CHARS_LIMIT} characters (including spaces) "
            "in the search list"
        )
        errors += invalid(path, searches, says)
    for at, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            complaints = names.dns1123_subdomain_with_underscore(name)
            errors += each(f"{path}[{at}]", name, complaints)
    return errors
