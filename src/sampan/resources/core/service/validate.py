"""The rules of a Service, in upstream's order."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.core.pod.probes import port_number_or_name
from sampan.resources.core.service import traits
from sampan.resources.core.service.ips import validate_ip_changes, validate_ips
from sampan.resources.core.service.policies import balancer_class, validate_policies
from sampan.resources.core.service.status import validate_status
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    labels,
    not_supported,
    one_of,
    required,
)

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
AFFINITIES = ("ClientIP", "None")
LONGEST_AFFINITY_S = 86400
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return validate_status(new)
    errors: Errors = []
    if old is not None:
        errors += validate_ip_changes(new["spec"], old["spec"])
        errors += _changed_class(new["spec"], old["spec"])
        errors += _changed_health_check(new["spec"], old["spec"])
    return errors + _whole(new, old["spec"] if old else None)


def _whole(svc: Json, before: Json | None) -> Errors:
    spec, notes = svc["spec"], svc["metadata"].get("annotations") or {}
    ports, kind = spec.get("ports") or (), spec.get("type") or ""
    errors = _topology(notes)
    if not ports and not traits.is_headless(spec) and kind != "ExternalName":
        errors += required("spec.ports")
    errors += _by_type(spec)
    seen: set[str] = set()
    for at, port in enumerate(ports):
        errors += _port(f"spec.ports[{at}]", port, seen, needs_name=len(ports) > 1)
    if selector := spec.get("selector"):
        errors += labels("spec.selector", selector)
    errors += _affinity(spec)
    errors += validate_ips(spec, before)
    known = set((before or {}).get("externalIPs") or ())
    for at, ip in enumerate(spec.get("externalIPs") or ()):
        here = f"spec.externalIPs[{at}]"
        errors += addresses.ip(here, ip, known) or addresses.endpoint_ip(here, ip)
    errors += one_of("spec.type", kind, TYPES)
    errors += _port_clashes(ports, kind)
    errors += _source_ranges(spec, notes, before)
    return errors + validate_policies(spec)


def _topology(notes: Json) -> Errors:
    mode, hints = notes.get(TOPOLOGY_MODE), notes.get(TOPOLOGY_HINTS)
    if mode is None or hints is None or mode == hints:
        return []
    says = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
    return invalid(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, says)


def _by_type(spec: Json) -> Errors:
    kind = spec.get("type")
    if kind in traits.WITH_NODE_PORTS and traits.is_headless(spec):
        says = f"may not be set to 'None' for {kind} services"
        return invalid("spec.clusterIPs[0]", "None", says)
    if kind != "ExternalName":
        return []
    errors: Errors = []
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field) or (field == "ipFamilyPolicy" and field in spec):
            errors += forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return errors + required("spec.externalName")
    return errors + each("spec.externalName", name, names.dns1123_subdomain(name))


def _port(path: str, port: Json, seen: set[str], *, needs_name: bool) -> Errors:
    name = port.get("name") or ""
    errors: Errors = []
    if name:
        errors += each(f"{path}.name", name, names.dns1123_label(name))
        if name in seen:
            errors += duplicate(f"{path}.name", name)
        seen.add(name)
    elif needs_name:
        errors += required(f"{path}.name")
    number = port.get("port") or 0
    errors += each(f"{path}.port", number, names.port_number(number))
    errors += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    errors += port_number_or_name(f"{path}.targetPort", port.get("targetPort"))
    if (protocol := port.get("appProtocol")) is not None:
        errors += each(f"{path}.appProtocol", protocol, names.qualified_name(protocol))
    return errors


def _affinity(spec: Json) -> Errors:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    errors = one_of("spec.sessionAffinity", affinity, AFFINITIES)
    if affinity == "None" and config is not None:
        errors += forbidden(path, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return errors
    says = "when session affinity type is ClientIP"
    if config is None:
        return errors + required(path, says)
    client = config.get("clientIP")
    if client is None:
        return errors + required(f"{path}.clientIP", says)
    timeout = client.get("timeoutSeconds")
    here = f"{path}.clientIP.timeoutSeconds"
    if timeout is None:
        return errors + required(here, says)
    if not 0 < timeout <= LONGEST_AFFINITY_S:
        says = f"must be greater than 0 and less than {LONGEST_AFFINITY_S}"
        errors += invalid(here, timeout, says)
    return errors


def _port_clashes(ports: Sequence[Json], kind: str) -> Errors:
    errors: Errors = []
    if kind == "ClusterIP":
        for at, port in enumerate(ports):
            if port.get("nodePort"):
                says = "may not be used when `type` is 'ClusterIP'"
                errors += forbidden(f"spec.ports[{at}].nodePort", says)
    seen: set[tuple[str, str, int]] = set()
    for field in ("nodePort", "port"):
        for at, port in enumerate(ports):
            number, protocol = port.get(field) or 0, port.get("protocol") or ""
            if field == "nodePort" and not number:
                continue
            if (field, protocol, number) in seen:
                errors += _clash(f"spec.ports[{at}]", field, number, protocol)
            seen.add((field, protocol, number))
    return errors


def _clash(path: str, field: str, number: int, protocol: str) -> Errors:
    if field == "nodePort":
        return duplicate(f"{path}.nodePort", number)
    shown = {
        "Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number, "TargetPort": 0,
        "NodePort": 0,
    }  # fmt: skip
    return duplicate(path, shown)


def _source_ranges(spec: Json, notes: Json, before: Json | None) -> Errors:
    """The field, or the annotation that it once was."""
    ranges = spec.get("loadBalancerSourceRanges") or []
    path = "spec.LoadBalancerSourceRanges"
    if not ranges and SOURCE_RANGES not in notes:
        return []
    errors: Errors = []
    if not ranges:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
    if spec.get("type") != "LoadBalancer":
        errors += forbidden(path, "may only be used when `type` is 'LoadBalancer'")
    known = {text.strip() for text in (before or {}).get("loadBalancerSourceRanges") or ()}
    for at, text in enumerate(ranges):
        errors += addresses.cidr(f"{path}[{at}]", text.strip(), known)
    if not ranges and notes[SOURCE_RANGES].strip():
        for text in notes[SOURCE_RANGES].split(","):
            errors += addresses.cidr(path, text.strip())
    return errors


def _changed_class(new: Json, old: Json) -> Errors:
    """And what is always asked of a class."""
    now = new.get("loadBalancerClass")
    errors: Errors = []
    both = new.get("type") == old.get("type") == "LoadBalancer"
    if both and now != old.get("loadBalancerClass"):
        errors += invalid("spec.loadBalancerClass", now, "may not change once set")
    return errors + balancer_class(new)


def _changed_health_check(new: Json, old: Json) -> Errors:
    both = traits.needs_health_check(new) and traits.needs_health_check(old)
    if both and new.get("healthCheckNodePort") != old.get("healthCheckNodePort"):
        return forbidden("spec.healthCheckNodePort", "field is immutable")
    return []


def protocol_errors(path: str, protocol: str | None) -> Errors:
    """For others that name a protocol."""
    value = protocol or ""
    if not value:
        return required(path)
    return [] if value in PROTOCOLS else not_supported(path, value, PROTOCOLS)
