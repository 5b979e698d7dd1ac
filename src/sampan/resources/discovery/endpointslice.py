"""EndpointSlice: up to 1000 endpoints of a Service, of one address family, with their ports."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import addresses, cells, rules
from sampan.resources.address_warnings import ip_warnings
from sampan.resources.rules import Errors

MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_HINTS = 8
MAX_TOPOLOGY = 16
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_HOSTNAME = "kubernetes.io/hostname"
SHOWN = 3
"""So many ports and endpoints are named in a table cell."""


def defaults(obj: Json) -> None:
    obj.setdefault("endpoints", None)
    if not obj.get("ports"):
        obj["ports"] = None
    for endpoint in obj["endpoints"] or ():
        endpoint.setdefault("conditions", {})
    for port in obj["ports"] or ():
        port.setdefault("name", "")
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """The topology map of the old API is only kept with endpoints that did not change; a node's
    name that it alone told becomes `nodeName`.
    """
    endpoints = new.get("endpoints") or ()
    if old is not None and endpoints == (old.get("endpoints") or ()):
        return
    before = [each.get("deprecatedTopology") or {} for each in (old or {}).get("endpoints") or ()]
    known = {topology.get(_HOSTNAME) for topology in before}
    for endpoint in endpoints:
        topology = endpoint.pop("deprecatedTopology", None) or {}
        node = topology.get(_HOSTNAME)
        if node and node in known and endpoint.get("nodeName") is None:
            endpoint["nodeName"] = node


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    kind = new.get("addressType")
    errors = rules.one_of("addressType", kind, ["FQDN", "IPv4", "IPv6"])
    errors += _ports(new.get("ports") or ())
    endpoints = new.get("endpoints") or ()
    if len(endpoints) > MAX_ENDPOINTS:
        errors += rules.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
    elif old is None or endpoints != (old.get("endpoints") or ()):
        known = _addresses(old)
        for at, endpoint in enumerate(endpoints):
            errors += _endpoint(f"endpoints[{at}]", endpoint, str(kind), known)
    if old is not None:
        errors += rules.immutable("addressType", kind, old.get("addressType"))
    return errors


def _addresses(obj: Json | None) -> frozenset[str]:
    if obj is None:
        return frozenset()
    return frozenset(ip for each in obj.get("endpoints") or () for ip in each.get("addresses", ()))


def _endpoint(path: str, endpoint: Json, kind: str, known: frozenset[str]) -> Errors:
    ips = endpoint.get("addresses") or ()
    errors: Errors = []
    if not ips:
        errors += rules.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(ips) > MAX_ADDRESSES:
        errors += rules.too_many(f"{path}.addresses", len(ips), MAX_ADDRESSES)
    for at, ip in enumerate(ips):
        errors += _address(f"{path}.addresses", at, ip, kind, known)
    if endpoint.get("nodeName") is not None:
        node = endpoint["nodeName"]
        errors += rules.each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    errors += _topology(f"{path}.deprecatedTopology", endpoint.get("deprecatedTopology") or {})
    if endpoint.get("hostname") is not None:
        host = endpoint["hostname"]
        errors += rules.each(f"{path}.hostname", host, names.dns1123_label(host))
    return errors + _hints(f"{path}.hints", endpoint.get("hints") or {})


def _address(path: str, at: int, ip: str, kind: str, known: frozenset[str]) -> Errors:
    if kind == "FQDN":
        here = f"{path}[{at}]"
        return rules.each(here, ip, names.fully_qualified_name(ip)) if ip else rules.required(here)
    if kind not in ("IPv4", "IPv6"):
        return []
    errors = addresses.ip(f"{path}[{at}]", ip, known)
    if errors:
        return errors
    if addresses.is_ipv6(ip) != (kind == "IPv6"):
        article = "an" if kind.startswith("I") else "a"
        return rules.invalid(path, ip, f"must be {article} {kind} address")
    return addresses.endpoint_ip(f"{path}[{at}]", ip)


def _topology(path: str, topology: Json) -> Errors:
    errors: Errors = []
    if len(topology) > MAX_TOPOLOGY:
        errors += rules.too_many(path, len(topology), MAX_TOPOLOGY)
    return errors + rules.labels(path, topology)


def _hints(path: str, hints: Json) -> Errors:
    errors = _named_hints(f"{path}.forZones", hints.get("forZones") or (), names.label_value)
    return errors + _named_hints(
        f"{path}.forNodes", hints.get("forNodes") or (), names.dns1123_subdomain
    )


def _named_hints(path: str, hints: Sequence[Json], rule: rules.Rule) -> Errors:
    if len(hints) > MAX_HINTS:
        return rules.too_many(path, len(hints), MAX_HINTS)
    errors, seen = rules.none(), set[str]()
    for at, hint in enumerate(hints):
        name = hint.get("name", "")
        if name in seen:
            errors += rules.duplicate(f"{path}[{at}].name", name)
        seen.add(name)
        errors += rules.each(f"{path}[{at}].name", name, rule(name))
    return errors


def _ports(ports: Sequence[Json]) -> Errors:
    if len(ports) > MAX_PORTS:
        return rules.too_many("ports", len(ports), MAX_PORTS)
    errors, seen = rules.none(), set[str]()
    for at, port in enumerate(ports):
        path, name = f"ports[{at}]", port.get("name", "")
        if name:
            errors += rules.each(f"{path}.name", name, names.dns1123_label(name))
        if name in seen:
            errors += rules.duplicate(f"{path}.name", name)
        seen.add(name)
        errors += rules.choice(f"{path}.protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"])
        app = port.get("appProtocol")
        if app is not None:
            errors += rules.each(f"{path}.appProtocol", app, names.qualified_name(app))
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    found = []
    if new.get("addressType") == "FQDN" and old is None:
        found.append("spec.addressType: FQDN endpoints are deprecated")
    if (new["metadata"].get("labels") or {}).get(_MANAGED_BY) in _CONTROLLERS:
        return found
    for at, endpoint in enumerate(new.get("endpoints") or ()):
        for nth, ip in enumerate(endpoint.get("addresses") or ()):
            found += ip_warnings(f"endpoints[{at}].addresses[{nth}]", ip)
    return found


def _port_cell(obj: Json) -> str:
    ports = obj.get("ports")
    if not ports:
        return cells.UNSET
    shown = [port.get("port", port.get("name")) for port in ports[:SHOWN]]
    return _some(["*" if each is None else str(each) for each in shown], len(ports))


def _endpoint_cell(obj: Json) -> str:
    endpoints = obj.get("endpoints")
    if not endpoints:
        return cells.UNSET
    ips = [ip for endpoint in endpoints for ip in endpoint.get("addresses") or ()]
    return _some(ips[:SHOWN], len(ips))


def _some(shown: list[str], count: int) -> str:
    more = f" + {count - SHOWN} more..." if count > SHOWN else ""
    return ",".join(shown) + more


ENDPOINTSLICE = Resource(
    id=kinds.ENDPOINTSLICES,
    schema="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    generation_metadata=("labels",),
    metadata_checks="whole",
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("AddressType", cells.field("addressType")),
        cells.column("Ports", _port_cell),
        cells.column("Endpoints", _endpoint_cell),
        cells.AGE,
    ),
)
