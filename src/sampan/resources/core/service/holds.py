"""What a Service holds from the cluster's pools: addresses, node ports, a health check port.

Ports of one number but several protocols share a node port when the Service is made (53 over TCP
and UDP); a port added later gets one of its own.
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.api.resource import Needs
from sampan.resources.core.service import traits

Group = tuple[int, list[int]]
"""A node port (0: any) and the ports, by index, that get it."""


def needs(new: Json, old: Json | None) -> Needs | None:
    spec = new["spec"]
    families: tuple[str, ...] = tuple(spec.get("ipFamilies") or ())
    held: list[str] = spec.get("clusterIPs") or []
    if not traits.needs_ip(spec) or held[:1] == ["None"]:
        families = ()
    ips = tuple(held[at] if at < len(held) else "" for at in range(len(families)))
    groups = _groups(new)
    health = spec.get("healthCheckNodePort") or 0 if traits.needs_health_check(spec) else None
    if not ips and not groups and health is None:
        return None
    ports = spec.get("ports") or ()
    return Needs(
        ips=ips,
        ip_families=families,
        node_ports=tuple((number, ports[at[0]].get("protocol", "")) for number, at in groups),
        health_check_port=health,
        port_paths=tuple(f"spec.ports[{at[0]}].nodePort" for _, at in groups),
    )


def assign(
    svc: Json, ips: tuple[str, ...], node_ports: tuple[int, ...], health_check_port: int
) -> None:
    spec = svc["spec"]
    if ips:
        spec["clusterIP"], spec["clusterIPs"] = ips[0], list(ips)
    ports = spec.get("ports") or ()
    for (_, indices), number in zip(_groups(svc), node_ports, strict=True):
        for at in indices:
            ports[at]["nodePort"] = number
    if traits.needs_health_check(spec):
        spec["healthCheckNodePort"] = health_check_port


def _groups(svc: Json) -> list[Group]:
    spec = svc["spec"]
    if not traits.needs_node_ports(spec):
        return []
    ports = spec.get("ports") or ()
    fresh = not svc["metadata"].get("resourceVersion")
    wanted = {p.get("port"): p["nodePort"] for p in reversed(ports) if p.get("nodePort")}
    groups: list[Group] = []
    numbers: dict[tuple[int, int], Group] = {}
    shared: dict[int, Group] = {}
    for at, port in enumerate(ports):
        number = port.get("nodePort") or 0
        if not number and not traits.allocates_node_ports(spec):
            continue
        if not number and fresh:
            number = wanted.get(port.get("port"), 0)
        # Two ports of a new Service may share a node port only if they are one number.
        place = (port.get("port") or 0 if fresh else 0, number)
        group = numbers.get(place) or (shared.get(port.get("port", 0)) if fresh else None)
        if group is None or group[0] != number:
            group = (number, [])
            groups.append(group)
        group[1].append(at)
        if number:
            numbers[place] = group
        else:
            shared[port.get("port", 0)] = group
    return groups
