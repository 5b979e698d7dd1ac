"""Short questions about a Service that its rules ask again and again."""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json

WITH_IP = ("ClusterIP", "NodePort", "LoadBalancer")
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def needs_ip(spec: Json) -> bool:
    """A type that nobody knows counts as one that does."""
    return spec.get("type") != "ExternalName"


def needs_node_ports(spec: Json) -> bool:
    return spec.get("type") in WITH_NODE_PORTS


def allocates_node_ports(spec: Json) -> bool:
    """Whether a port without a node port is given one."""
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return bool(spec.get("type") == "NodePort")


def is_headless(spec: Json) -> bool:
    return bool(spec.get("clusterIPs") == ["None"])


def is_external(spec: Json) -> bool:
    """Whether it can be reached from outside at all, so that a policy for that makes sense."""
    return needs_node_ports(spec) or (
        spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def needs_health_check(spec: Json) -> bool:
    return bool(spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def node_ports(spec: Json) -> list[int]:
    return [port.get("nodePort") or 0 for port in spec.get("ports") or ()]


def same(new: Json, old: Json, field: str) -> bool:
    return bool(_value(new, field) == _value(old, field))


def _value(spec: Json, field: str) -> Any:
    return spec.get(field) or None
