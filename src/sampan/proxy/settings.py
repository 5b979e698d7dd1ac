"""What the rules depend on besides Services: this node and the proxy's configuration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.linux.walk.packet import Packet


class Detector(NamedTuple):
    """How traffic of pods is told from traffic of others; empty when it cannot be told."""

    cidrs: tuple[str, ...] = ()
    interface: str = ""
    """A name, or a prefix that ends with `*`."""

    @property
    def able(self) -> bool:
        return bool(self.cidrs or self.interface)

    def local(self, packet: Packet) -> bool:
        """Whether the packet comes from a pod."""
        if self.interface:
            if self.interface.endswith("*"):
                return packet.interface.startswith(self.interface[:-1])
            return packet.interface == self.interface
        return any(contains(cidr, packet.source) for cidr in self.cidrs)


NO_DETECTOR = Detector()


@dataclass(frozen=True, slots=True)
class FamilySettings:
    """Of one address family; `family` is 4 or 6."""

    family: int
    detector: Detector = NO_DETECTOR
    masquerade_all: bool = False
    masquerade_bit: int = 14
    node_port_ips: tuple[str, ...] | None = None
    """The addresses that serve node ports; None for every local one."""
    localhost_node_ports: bool = False
    """Whether 127.0.0.1 serves them, too (IPv4, iptables and userspace)."""
    loopback_listeners: bool = False
    """Whether a process of the proxy serves node ports at the loopback address (TCP)."""
    service_cidrs: tuple[str, ...] = ()
    """Addresses in here that no Service has are dropped."""
    node_ips: tuple[str, ...] = ()
    drop_invalid: bool = True
    """Whether packets that conntrack cannot place are dropped (not with tcpBeLiberal)."""

    @property
    def mark(self) -> int:
        return 1 << self.masquerade_bit

    @property
    def words(self) -> str:
        return "IPv6" if self.family == 6 else "IPv4"


@dataclass(frozen=True, slots=True)
class Settings:
    """Both families of one node; a family that is absent has no rules."""

    node: str
    families: tuple[FamilySettings, ...] = field(
        default=(FamilySettings(4), FamilySettings(6)),
    )

    def family(self, family: int) -> FamilySettings | None:
        # Asked for every port of every Service: a generator would cost half of the answer.
        for one in self.families:
            if one.family == family:
                return one
        return None


def contains(cidr: str, ip: str) -> bool:
    """Whether an address lies in a range; ranges of the other family hold nothing."""
    address = ipaddress.ip_address(ip)
    network = ipaddress.ip_network(cidr, strict=False)
    return address.version == network.version and address in network
