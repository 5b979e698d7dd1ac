"""The properties of *kubernetes* that shape answers."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.dns import names


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
