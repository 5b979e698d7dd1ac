"""A Service as a row of the table, and what the API remarks on one."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.api.resource import Column
from sampan.resources import cells, labels
from sampan.resources.address_warnings import cidr_warnings, ip_warnings
from sampan.resources.core.service import traits
from sampan.resources.core.service.validate import TOPOLOGY_HINTS, TOPOLOGY_MODE


def cluster_ip(svc: Json) -> str:
    return str((svc["spec"].get("clusterIPs") or [cells.NONE])[0])


def external_ip(svc: Json) -> str:
    spec = svc["spec"]
    own, kind = spec.get("externalIPs") or [], spec.get("type")
    if kind == "LoadBalancer":
        return ",".join([*_balancers(svc), *own]) or "<pending>"
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    return (",".join(own) or cells.NONE) if kind in traits.WITH_IP else cells.UNKNOWN


def ports(svc: Json) -> str:
    return ",".join(map(_port, svc["spec"].get("ports") or ())) or cells.NONE


def warnings(new: Json, old: Json | None) -> list[str]:
    spec, notes = new["spec"], new["metadata"].get("annotations") or {}
    found: list[str] = []
    if TOPOLOGY_HINTS in notes:
        found.append(
            f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"
        )
    found += _cluster_addresses(spec) + _headless(spec)
    for at, ip in enumerate(spec.get("externalIPs") or ()):
        found += ip_warnings(f"spec.externalIPs[{at}]", ip)
    outside = traits.is_headless(spec) or spec.get("type") == "ExternalName"
    if spec.get("externalIPs") and not outside:
        says = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
        found.append(says)
    found += _addresses(spec)
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _cluster_addresses(spec: Json) -> list[str]:
    found: list[str] = []
    if not traits.is_headless(spec):
        for at, ip in enumerate(spec.get("clusterIPs") or ()):
            found += ip_warnings(f"spec.clusterIPs[{at}]", ip)
    return found


def _addresses(spec: Json) -> list[str]:
    found: list[str] = []
    if address := spec.get("loadBalancerIP"):
        found += ip_warnings("spec.loadBalancerIP", address)
    for at, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += cidr_warnings(f"spec.loadBalancerSourceRanges[{at}]", text.strip())
    return found


def _headless(spec: Json) -> list[str]:
    if not traits.is_headless(spec):
        return []
    ignored = [
        field
        for field, value in (
            ("loadBalancerIP", spec.get("loadBalancerIP")),
            ("externalIPs", spec.get("externalIPs")),
            ("SessionAffinity", spec.get("sessionAffinity") != "None"),
        )
        if value
    ]
    return [f"spec.{field} is ignored for headless services" for field in ignored]


def _balancers(svc: Json) -> list[str]:
    balancer = (svc.get("status") or {}).get("loadBalancer") or {}
    return sorted(
        {
            ingress.get("ip") or ingress.get("hostname") or ""
            for ingress in balancer.get("ingress") or ()
        }
        - {""}
    )


def _port(port: Json) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', '')}"


COLUMNS: tuple[Column, ...] = (
    cells.NAME,
    cells.column("Type", cells.field("spec", "type")),
    cells.column("Cluster-IP", cluster_ip),
    cells.column("External-IP", external_ip),
    cells.column("Port(s)", ports),
    cells.AGE,
    cells.column("Selector", lambda svc: labels.set_text(svc["spec"].get("selector")), priority=1),
)
