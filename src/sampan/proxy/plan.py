"""Plan: one Service and its slices become `Rules`, seen from one node. Pure.

Every backend follows what is decided here; who may answer is decided below, in `services`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from sampan.api.meta import Json
from sampan.proxy.model import Frontend, Health, Port, Rules, family_of
from sampan.services import answer, service
from sampan.services.answer import Place
from sampan.services.service import Service, ServicePort
from sampan.services.slices import (
    HEADLESS_LABEL,
    PROXY_NAME_LABEL,
    SERVICE_NAME_LABEL,
    Slice,
    read,
)

_FAMILIES = {"IPv4": 4, "IPv6": 6}
_MAPPED = b"\0" * 10 + b"\xff\xff"
_NONE: frozenset[tuple[str, int]] = frozenset()


def plan(obj: Json, slices: Iterable[Slice], place: Place) -> Rules | None:
    """The rules of a Service, or None where the proxy has nothing to do for it."""
    view = service.read(obj)
    if not _ours(view):
        return None
    known = tuple(slices)
    ports = tuple(
        _port(view, port, ip, known, place) for ip in view.cluster_ips for port in view.ports
    )
    if not ports:
        return None
    return Rules(view.key, ports, _health(view, known, place), _created(obj))


def slice_of(obj: Json) -> Slice | None:
    """The slice as the proxy reads it; slices of headless Services and of other proxies are none
    of its business.
    """
    labels = obj["metadata"].get("labels") or {}
    if SERVICE_NAME_LABEL not in labels or HEADLESS_LABEL in labels or PROXY_NAME_LABEL in labels:
        return None
    return read(obj)


def _ours(view: Service) -> bool:
    if view.type == "ExternalName" or view.foreign:
        return False
    return bool(view.cluster_ips) and not view.headless and bool(view.cluster_ips[0])


def _created(obj: Json) -> str:
    return obj["metadata"].get("creationTimestamp") or ""


def _port(view: Service, port: ServicePort, ip: str, slices: Sequence[Slice], place: Place) -> Port:
    family = family_of(ip)
    words = "IPv6" if family == 6 else "IPv4"
    external_ips = _of(family, view.external_ips) if view.external_ips else ()
    balancer_ips = _of(family, view.load_balancer_ips) if view.load_balancer_ips else ()
    found = answer.candidates(slices, words, port.name, port.protocol)
    external = bool(port.node_port or external_ips or balancer_ips)
    cluster, local, reachable = answer.answer(view, found, place, external=external)
    return Port(
        port.name,
        port.protocol.lower(),
        family,
        canonical(ip) if family == 6 else ip,
        port.port,
        port.node_port,
        external_ips,
        balancer_ips,
        _ranges(family, view.source_ranges) if view.source_ranges else (),
        view.internal_local,
        view.external_local,
        view.affinity_s,
        cluster,
        local,
        reachable,
        answer.serving(found) if port.protocol == "UDP" else _NONE,
    )


def _of(family: int, ips: Sequence[str]) -> tuple[str, ...]:
    """The addresses of a family in their order, each once; what is no address is left out."""
    texts = dict.fromkeys(canonical(ip) for ip in ips)
    return tuple(ip for ip in texts if ip and family_of(ip) == family)


def canonical(ip: str) -> str:
    """The one text of an address; an IPv4 address in IPv6 dress is an IPv4 one, and zeros may lead
    a number, as Go read them once. Nothing for what is no address.
    """
    try:
        if ":" in ip:
            packed = socket.inet_pton(socket.AF_INET6, ip)
            if packed.startswith(_MAPPED):
                return socket.inet_ntoa(packed[12:])
            return socket.inet_ntop(socket.AF_INET6, packed)
        plain = ".".join(str(int(part)) for part in ip.split("."))
        socket.inet_pton(socket.AF_INET, plain)
    except (OSError, ValueError):
        return ""
    return plain


def _ranges(family: int, ranges: Sequence[str]) -> tuple[str, ...]:
    """The ranges of a family; one that holds everything closes nothing, and what is no range (an
    address without its length, too) is passed over, as validation once let it in.
    """
    own: list[str] = []
    for text in ranges:
        address, slash, length = text.partition("/")
        ip = canonical(address)
        if not (slash and length.isdecimal() and ip and family_of(ip) == family):
            continue
        try:
            own.append(str(ipaddress.ip_network(f"{ip}/{int(length)}", strict=False)))
        except ValueError:
            continue
    return () if any(text.endswith("/0") for text in own) else tuple(own)


def _health(view: Service, slices: Sequence[Slice], place: Place) -> Health | None:
    if not (view.health_check_node_port and view.external_local):
        return None
    families = {family_of(ip) for ip in view.cluster_ips}
    here: frozenset[str] = frozenset()
    for words, family in _FAMILIES.items():
        if family in families:
            here |= answer.ready_local_addresses(slices, words, place.node)
    return Health(view.health_check_node_port, len(here))


def settle(rules: Rules, lost: frozenset[Frontend]) -> Rules:
    """The rules without the frontends that an older Service has."""
    if not lost:
        return rules
    return rules._replace(ports=tuple(_without(port, lost) for port in rules.ports))


def _without(port: Port, lost: frozenset[Frontend]) -> Port:
    def kept(ips: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            ip for ip in ips if Frontend(port.family, ip, port.protocol, port.port) not in lost
        )

    node_port = port.node_port
    if Frontend(port.family, "", port.protocol, node_port) in lost:
        node_port = 0
    return port._replace(
        node_port=node_port,
        external_ips=kept(port.external_ips),
        load_balancer_ips=kept(port.load_balancer_ips),
    )
