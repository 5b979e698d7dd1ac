"""The proxy's model: what one Service means on this node, frozen, keyed by service.

Nothing here knows a rule language. A change of a Service, of its slices or of this node makes a
new `Rules` for that Service alone; a backend turns old and new into what it must tell the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

from sampan.api.meta import Key
from sampan.services.answer import Target

__all__ = ["Frontend", "Health", "Key", "Port", "Rules", "Target", "family_of"]


class Port(NamedTuple):
    """One port of a Service in one address family."""

    name: str
    protocol: str
    """In nft's and iptables' words: tcp, udp, sctp."""
    family: int
    """4 or 6."""
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    """Who may use the load balancer's addresses; empty means everyone."""
    internal_local: bool
    external_local: bool
    affinity_s: int
    cluster: tuple[Target, ...]
    """Who answers under policy Cluster."""
    local: tuple[Target, ...]
    """Who answers under policy Local; empty where no policy asks for it."""
    any: bool
    """Whether anybody could answer, here or elsewhere: tells drop from reject."""
    serving: frozenset[tuple[str, int]]
    """Where an established UDP flow may stay; filled for UDP only."""

    @property
    def internal(self) -> tuple[Target, ...]:
        """Who answers at the cluster IP."""
        return self.local if self.internal_local else self.cluster

    @property
    def external(self) -> tuple[Target, ...]:
        """Who answers traffic from outside at node ports and external addresses."""
        return self.local if self.external_local else self.cluster

    @property
    def externally_reachable(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)


class Health(NamedTuple):
    """A health check node port and the number that it answers with."""

    port: int
    local_endpoints: int


class Rules(NamedTuple):
    """Everything of one Service; ports in the order of the Service, IPv4 before IPv6."""

    key: Key
    ports: tuple[Port, ...]
    health: Health | None
    created: str
    """Of two Services that want the same address and port the older one has it."""


class Frontend(NamedTuple):
    """Where clients knock; `ip` is empty for a node port."""

    family: int
    ip: str
    protocol: str
    port: int


def family_of(ip: str) -> int:
    return 6 if ":" in ip else 4


def label(key: Key, port: Port) -> str:
    """`namespace/name:port`, as upstream's comments and hashes name a service port."""
    return f"{key}:{port.name}" if port.name else str(key)


def claims(rules: Rules) -> frozenset[Frontend]:
    """The frontends that another Service could claim as well: all but cluster IPs."""
    found = set()
    for port in rules.ports:
        if port.node_port:
            found.add(Frontend(port.family, "", port.protocol, port.node_port))
        for ip in (*port.external_ips, *port.load_balancer_ips):
            found.add(Frontend(port.family, ip, port.protocol, port.port))
    return frozenset(found)
