"""What a packet should meet, said once and without rules: the reference for every backend.

Property tests walk packets through the rendered rules and compare with this; `trace` tells it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.linux.walk.packet import DROP, PASS, REJECT, Host, Outcome, Packet
from sampan.proxy.model import Port, Rules, Target, family_of
from sampan.proxy.settings import FamilySettings, contains


class Manners(NamedTuple):
    """Where modes differ on purpose."""

    refuses_unknown_ports: bool = True
    """Whether a cluster IP's other ports are refused and unallocated cluster IPs dropped."""
    refuses_own_external: bool = True
    """Whether the node's own packets to a dead external address are refused."""
    dead_node_ports_everywhere: bool = False
    """Whether a node port that nobody answers is refused at every local address."""
    hairpin_everywhere: bool = False
    """Whether endpoints of other nodes are masqueraded to themselves as well."""
    external_ips_first: bool = False
    """Whether an external IP that is a load balancer's address, too, knows no source ranges."""
    short_circuits: bool = True
    """Whether pods and the node reach everyone under externalTrafficPolicy Local."""
    drops_dead_here: bool = True
    """Whether a Service that is dead only on this node drops; it refuses otherwise."""
    holds_addresses: bool = False
    """Whether the node takes all addresses of Services as its own: other ports are refused."""


NFTABLES = Manners()
IPTABLES = Manners(
    refuses_unknown_ports=False,
    refuses_own_external=False,
    dead_node_ports_everywhere=True,
    hairpin_everywhere=True,
    external_ips_first=True,
)


IPVS = Manners(
    refuses_unknown_ports=False,
    short_circuits=False,
    drops_dead_here=False,
    holds_addresses=True,
)


class View(NamedTuple):
    """Who looks: the settings of the packet's family, the node's addresses, the mode's manners."""

    settings: FamilySettings
    host: Host
    manners: Manners = NFTABLES


def meaning(model: Iterable[Rules], packet: Packet, view: View) -> frozenset[Outcome]:
    """All outcomes that are right for the first packet of a connection."""
    family = family_of(packet.destination)
    ports = [port for rules in model for port in rules.ports if port.family == family]
    for port in ports:
        if port.protocol != packet.protocol:
            continue
        if packet.destination == port.cluster_ip and packet.port == port.port:
            return _internal(port, packet, view)
        external = (*port.external_ips, *port.load_balancer_ips)
        if packet.destination in external and packet.port == port.port:
            return _external_ip(port, packet, view)
    for port in ports:
        if port.node_port == packet.port and port.protocol == packet.protocol:
            return _node_port(port, packet, view)
    return _unknown(ports, packet, view)


def _node_port(port: Port, packet: Packet, view: View) -> frozenset[Outcome]:
    if serves_node_ports(packet.destination, view):
        return _external(port, packet, view)
    everywhere = view.manners.dead_node_ports_everywhere and not port.external
    if everywhere and view.host.owns(packet.destination):
        return frozenset({DROP if port.any else REJECT})
    return _unknown([port], packet, view)


def serves_node_ports(ip: str, view: View) -> bool:
    """Whether an address is one of those that serve node ports."""
    settings = view.settings
    if ip.startswith("127.") or ip == "::1":
        return settings.localhost_node_ports and ip.startswith("127.")
    if settings.node_port_ips is None:
        return view.host.owns(ip)
    return ip in settings.node_port_ips


def _unknown(ports: list[Port], packet: Packet, view: View) -> frozenset[Outcome]:
    if view.manners.holds_addresses:
        held = {ip for port in ports for ip in _addresses(port)}
        return frozenset({REJECT if packet.destination in held else PASS})
    if view.manners.refuses_unknown_ports and not view.host.owns(packet.destination):
        if any(packet.destination == port.cluster_ip for port in ports):
            return frozenset({REJECT})
        if any(contains(cidr, packet.destination) for cidr in view.settings.service_cidrs):
            return frozenset({DROP})
    return frozenset({PASS})


def _addresses(port: Port) -> tuple[str, ...]:
    return (port.cluster_ip, *port.external_ips, *port.load_balancer_ips)


def _internal(port: Port, packet: Packet, view: View) -> frozenset[Outcome]:
    detector = view.settings.detector
    masquerade = view.settings.masquerade_all or (detector.able and not detector.local(packet))
    return _spread(port, port.internal, packet, (masquerade, view))


def _external_ip(port: Port, packet: Packet, view: View) -> frozenset[Outcome]:
    if (
        packet.destination in port.load_balancer_ips
        and not (view.manners.external_ips_first and packet.destination in port.external_ips)
        and port.source_ranges
        and port.any
        and not any(contains(one, packet.source) for one in port.source_ranges)
    ):
        return frozenset({DROP})
    return _external(port, packet, view)


def _external(port: Port, packet: Packet, view: View) -> frozenset[Outcome]:
    """Policy Local binds only traffic from outside: pods and the node itself reach everyone."""
    if not port.external_local:
        return _spread(port, port.cluster, packet, (True, view), external=True)
    if port.any and view.manners.short_circuits:
        if view.settings.detector.local(packet):
            return _spread(port, port.cluster, packet, (False, view), external=True)
        if view.host.owns(packet.source):
            return _spread(port, port.cluster, packet, (True, view), external=True)
    return _spread(port, port.local, packet, (False, view), external=True)


def _spread(
    port: Port,
    targets: tuple[Target, ...],
    packet: Packet,
    how: tuple[bool, View],
    *,
    external: bool = False,
) -> frozenset[Outcome]:
    masquerade, view = how
    if targets:
        return frozenset(
            Outcome(
                "to",
                target.ip,
                target.port,
                _leaves(target, packet, view)
                and (masquerade or _hairpin(target, packet, view.manners)),
            )
            for target in targets
        )
    own = packet.from_node and not view.host.owns(packet.destination)
    if external and own and not view.manners.refuses_own_external:
        return frozenset({PASS})
    return frozenset({DROP if port.any and view.manners.drops_dead_here else REJECT})


def _leaves(target: Target, packet: Packet, view: View) -> bool:
    """Whether the packet goes out again: what stays here passes no masquerading."""
    return packet.from_node or not view.host.owns(target.ip)


def _hairpin(target: Target, packet: Packet, manners: Manners) -> bool:
    return target.ip == packet.source and (target.local or manners.hairpin_everywhere)
