"""The properties of *kubernetes* that shape answers."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.dns import names
from sampan.dns.kube.objects import Endpoint


@dataclass(slots=True)
class Options:
    zones: tuple[str, ...] = (".",)
    primary: str = "."
    """The first zone that is not a reverse one."""
    multi_zones: tuple[str, ...] = ()
    ttl: int = 5
    pods: str = "disabled"
    namespaces: frozenset[str] = frozenset()
    endpoint_pod_names: bool = False
    ignore_empty: bool = False
    zonal: bool = False
    local_ips: tuple[str, ...] = ()
    """Our own addresses, to find the Service that stands for us."""

    def is_multi(self, zone: str) -> bool:
        """Whether a zone, in any case, is one of several clusters."""
        zones = self.multi_zones
        return bool(zones) and names.longest_zone(zone.lower(), zones) != ""

    def label_of(self, endpoint: Endpoint) -> str:
        """The label of an endpoint: its own, its pod's where wished, else its address."""
        ip, hostname, target, _ = endpoint
        if hostname:
            return hostname
        if self.endpoint_pod_names and target:
            return target
        if ":" not in ip:
            return ip.replace(".", "-")
        label = ip.replace(":", "-")
        # No label may end with a hyphen.
        return label + "0" if label.endswith("-") else label
