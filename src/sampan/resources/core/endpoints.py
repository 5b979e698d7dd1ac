"""Endpoints: the addresses behind a Service in one object; EndpointSlices are their successor."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import addresses, cells
from sampan.resources.address_warnings import ip_warnings
from sampan.resources.rules import Errors, each, invalid, one_of, required

PROTOCOLS = ("SCTP", "TCP", "UDP")
SHOWN = 3


def defaults(endpoints: Json) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    known = {address.get("ip") or "" for _, address in _addresses(old or {})}
    errors: Errors = []
    for at, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{at}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors += required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(field) or ()):
                errors += _address(f"{path}.{field}[{index}]", address, known)
        ports = subset.get("ports") or ()
        for index, port in enumerate(ports):
            errors += _port(f"{path}.ports[{index}]", port, needs_name=len(ports) > 1)
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    return [
        text
        for path, address in _addresses(new)
        for text in ip_warnings(f"{path}.ip", address.get("ip") or "")
    ]


def _addresses(endpoints: Json) -> Iterator[tuple[str, Json]]:
    for at, subset in enumerate(endpoints.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(field) or ()):
                yield f"subsets[{at}].{field}[{index}]", address


def _address(path: str, address: Json, known: set[str]) -> Errors:
    ip = address.get("ip") or ""
    errors = addresses.ip(f"{path}.ip", ip, known)
    if name := address.get("hostname"):
        errors += each(f"{path}.hostname", name, names.dns1123_label(name))
    if (node := address.get("nodeName")) is not None:
        errors += each(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    if addresses.parse_ip(ip) is None:
        return errors + invalid(f"{path}.ip", ip, "must be a valid IP address")
    return errors + addresses.endpoint_ip(f"{path}.ip", ip)


def _port(path: str, port: Json, *, needs_name: bool) -> Errors:
    name, number = port.get("name") or "", port.get("port") or 0
    errors: Errors = []
    if name:
        errors += each(f"{path}.name", name, names.dns1123_label(name))
    elif needs_name:
        errors += required(f"{path}.name")
    errors += each(f"{path}.port", number, names.port_number(number))
    errors += one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if (protocol := port.get("appProtocol")) is not None:
        errors += each(f"{path}.appProtocol", protocol, names.qualified_name(protocol))
    return errors


def _text(endpoints: Json) -> str:
    found = list(_places(endpoints))
    if not endpoints.get("subsets"):
        return cells.NONE
    text = ",".join(found[:SHOWN])
    return f"{text} + {len(found) - SHOWN} more..." if len(found) > SHOWN else text


def _places(endpoints: Json) -> Iterator[str]:
    """`ip:port` for each ready address and port; without ports the address alone."""
    for subset in endpoints.get("subsets") or ():
        ready = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        if not subset.get("ports"):
            yield from ready
        for port in subset.get("ports") or ():
            for ip in ready:
                host = f"[{ip}]" if addresses.is_ipv6(ip) else ip
                yield f"{host}:{port.get('port', 0)}"


ENDPOINTS = Resource(
    id=kinds.ENDPOINTS,
    schema="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short=("ep",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(cells.NAME, cells.column("Endpoints", _text), cells.AGE),
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    generation=False,
    create_on_update=True,
)
