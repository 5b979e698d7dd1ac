"""EndpointSlices as small frozen views: addresses with their conditions, and named ports.

Not here: choosing among them (`answer`), and making slices (the EndpointSlice controller).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sampan.api.meta import Json, Key

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"


class Endpoint(NamedTuple):
    """One address of a slice; absent conditions have their documented meaning already."""

    address: str
    ready: bool
    serving: bool
    terminating: bool
    node: str
    zone: str
    for_zones: tuple[str, ...]
    for_nodes: tuple[str, ...]
    hostname: str
    target: tuple[str, str, str]
    """Kind, namespace and name of the object behind the address; empty words if none."""


class SlicePort(NamedTuple):
    """A port by its name; `number` 0 means every port (only non-proxies give it a meaning)."""

    name: str
    protocol: str
    number: int
    app_protocol: str


class Slice(NamedTuple):
    """`family` is IPv4, IPv6 or FQDN."""

    service: Key
    family: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[SlicePort, ...]


def service_of(obj: Json) -> Key | None:
    """The Service that a slice belongs to."""
    meta = obj["metadata"]
    name = (meta.get("labels") or {}).get(SERVICE_NAME_LABEL)
    return Key(meta.get("namespace", ""), name) if name else None


def read(obj: Json) -> Slice | None:
    """The view of a slice, or None if it names no Service."""
    service = service_of(obj)
    if service is None:
        return None
    return Slice(
        service,
        obj.get("addressType", "IPv4"),
        tuple(
            endpoint
            for item in obj.get("endpoints") or ()
            if (endpoint := _endpoint(item)) is not None
        ),
        tuple(_port(item) for item in obj.get("ports") or ()),
    )


def _endpoint(item: Json) -> Endpoint | None:
    """Consumers use the first address only: all of an endpoint's addresses are the same one."""
    addresses = item.get("addresses")
    if not addresses:
        return None
    conditions = item.get("conditions") or {}
    ready = conditions.get("ready")
    serving = conditions.get("serving")
    hints = item.get("hints") or {}
    target = item.get("targetRef") or {}
    return Endpoint(
        addresses[0],
        ready is None or bool(ready),
        serving is None or bool(serving),
        bool(conditions.get("terminating")),
        item.get("nodeName") or "",
        item.get("zone") or "",
        _names(hints.get("forZones")),
        _names(hints.get("forNodes")),
        item.get("hostname") or "",
        (target.get("kind") or "", target.get("namespace") or "", target.get("name") or ""),
    )


def _names(items: list[dict[str, Any]] | None) -> tuple[str, ...]:
    return tuple(item["name"] for item in items) if items else ()


def _port(item: Json) -> SlicePort:
    return SlicePort(
        item.get("name") or "",
        item.get("protocol") or "TCP",
        item.get("port") or 0,
        item.get("appProtocol") or "",
    )
