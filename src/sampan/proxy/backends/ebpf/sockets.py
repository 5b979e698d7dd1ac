"""What sockets may translate themselves: the plain cluster IPs of a Service. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.linux.base.bpf import SocketEnd, SocketService
from sampan.proxy.model import Rules
from sampan.proxy.settings import Settings

Ends = dict[SocketService, tuple[SocketEnd, ...]]
PROTOCOLS = ("tcp", "udp")


def sockets(rules: Rules | None, settings: Settings) -> Ends:
    """Services for sockets: not those whose clients are remembered or masqueraded, for these
    need the packet's way through the rules.
    """
    found: Ends = {}
    for port in rules.ports if rules else ():
        family = settings.family(port.family)
        if family is None or family.masquerade_all:
            continue
        if port.protocol in PROTOCOLS and port.internal and not port.affinity_s:
            where = SocketService(port.cluster_ip, port.port, port.protocol)
            found[where] = tuple((target.ip, target.port) for target in port.internal)
    return found


def pod_ranges(settings: Settings) -> list[str]:
    """Where a bound socket must be bound to be a pod's. Pods that are known by their interface
    cannot be told at a socket: then no bound socket is translated.
    """
    detectors = [one.detector for one in settings.families]
    if any(one.interface for one in detectors):
        return ["255.255.255.255/32"]
    return [cidr for one in detectors for cidr in one.cidrs]


def listing(services: Mapping[SocketService, tuple[SocketEnd, ...]]) -> str:
    """The socket services as text, one line each."""
    lines = []
    for service in sorted(services, key=lambda one: (":" in one.ip, one)):
        where = _text(service.ip, service.port)
        ends = ", ".join(_text(ip, port) for ip, port in services[service])
        lines.append(f"socket {service.protocol} {where} -> {ends}\n")
    return "".join(lines)


def _text(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
