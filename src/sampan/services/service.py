"""A Service as a small frozen view: addresses, ports and policies, defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sampan.api.meta import Json, Key, key_of
from sampan.services.slices import PROXY_NAME_LABEL

AFFINITY_DEFAULT_S = 10800


class ServicePort(NamedTuple):
    """One entry of `spec.ports`; `target` is a number or the name of a container port."""

    name: str
    protocol: str
    port: int
    node_port: int
    target: int | str
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Service:
    """Everything about a Service that decides where its traffic goes."""

    key: Key
    type: str
    cluster_ips: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    """Addresses of the status that the node itself serves (ipMode VIP)."""
    source_ranges: tuple[str, ...]
    internal_local: bool
    external_local: bool
    affinity_s: int
    """Seconds that a client stays with its endpoint; 0 without session affinity."""
    health_check_node_port: int
    external_name: str
    foreign: bool
    """Whether its labels say that it is no business of the node's proxy."""
    publish_not_ready: bool

    @property
    def headless(self) -> bool:
        return self.cluster_ips[:1] == ("None",)


def read(obj: Json) -> Service:
    """The view of a Service object, as the API server stores it or as a user wrote it."""
    spec = obj.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    balanced = kind == "LoadBalancer"
    labels = obj["metadata"].get("labels") or {}
    return Service(
        key=key_of(obj),
        type=kind,
        cluster_ips=_cluster_ips(spec),
        ports=tuple(_port(item, kind) for item in spec.get("ports") or ()),
        external_ips=tuple(spec.get("externalIPs") or ()),
        load_balancer_ips=_load_balancer_ips(obj) if balanced else (),
        source_ranges=_source_ranges(spec) if balanced else (),
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local",
        affinity_s=_affinity(spec),
        health_check_node_port=(spec.get("healthCheckNodePort") or 0) if balanced else 0,
        external_name=spec.get("externalName") or "" if kind == "ExternalName" else "",
        foreign=PROXY_NAME_LABEL in labels,
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
    )


def _cluster_ips(spec: Json) -> tuple[str, ...]:
    """`clusterIPs`, or the old single field; empty while none is allocated."""
    several = spec.get("clusterIPs")
    if several:
        return tuple(several)
    single = spec.get("clusterIP")
    return (single,) if single else ()


def _port(item: Json, kind: str) -> ServicePort:
    port = item["port"]
    return ServicePort(
        item.get("name") or "",
        item.get("protocol") or "TCP",
        port,
        (item.get("nodePort") or 0) if kind in ("NodePort", "LoadBalancer") else 0,
        item.get("targetPort") or port,
        item.get("appProtocol") or "",
    )


def _load_balancer_ips(obj: Json) -> tuple[str, ...]:
    """Traffic for an address in mode Proxy belongs to the balancer itself: not ours."""
    status = (obj.get("status") or {}).get("loadBalancer") or {}
    return tuple(
        item["ip"]
        for item in status.get("ingress") or ()
        if item.get("ip") and (item.get("ipMode") or "VIP") == "VIP"
    )


def _source_ranges(spec: Json) -> tuple[str, ...]:
    """Only the field: the annotation that came before it is the cloud's business. Blanks around a
    range have always passed validation.
    """
    return tuple(text.strip() for text in spec.get("loadBalancerSourceRanges") or ())


def _affinity(spec: Json) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or AFFINITY_DEFAULT_S)
