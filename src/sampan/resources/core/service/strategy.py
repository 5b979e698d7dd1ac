"""What a write to a Service keeps from before, and what it drops with a change of type.

A client may send the manifest that it created the Service from again and again: whatever the
server allocated since then stays. A field is wiped only if it no longer applies and the client did
not change it too; otherwise the rules tell what is wrong.
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources.core.service import traits


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    if subresource:
        return
    spec = new["spec"]
    if old is None:
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        return
    before = old["spec"]
    _keep_allocated(spec, before)
    _sync_ips(spec, before)
    _drop_unneeded(spec, before)
    if spec["type"] != "LoadBalancer":
        new["status"]["loadBalancer"] = {}


def _keep_allocated(spec: Json, before: Json) -> None:
    if traits.needs_ip(spec) and traits.needs_ip(before):
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    if traits.allocates_node_ports(spec) and traits.needs_node_ports(before):
        _keep_node_ports(spec, before)
    both = traits.needs_health_check(spec) and traits.needs_health_check(before)
    if both and not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before["healthCheckNodePort"]


def _keep_node_ports(spec: Json, before: Json) -> None:
    """By name; a number that the client gave to another port is gone."""
    used = set(traits.node_ports(spec)) & set(traits.node_ports(before))
    known = {p.get("name") or "": p.get("nodePort") or 0 for p in before.get("ports") or ()}
    for port in spec.get("ports") or ():
        number = known.get(port.get("name") or "", 0)
        if not port.get("nodePort") and number and number not in used:
            port["nodePort"] = number


def _sync_ips(spec: Json, before: Json) -> None:
    """clusterIP is the old name of clusterIPs[0]; clients know one, the other or both."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    was = before.get("clusterIP") or ""
    if one and not many:
        spec["clusterIPs"] = [one]
    elif one != was and traits.same(spec, before, "clusterIPs"):
        if one:
            spec["clusterIPs"] = [one]
        else:
            spec.pop("clusterIPs", None)


def _drop_unneeded(spec: Json, before: Json) -> None:
    if traits.needs_ip(before) and not traits.needs_ip(spec):
        if traits.same(spec, before, "clusterIPs"):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        for field in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            _drop_if_same(spec, before, field)
    leaves_ports = traits.needs_node_ports(before) and not traits.needs_node_ports(spec)
    if leaves_ports and traits.node_ports(spec) == traits.node_ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if traits.needs_health_check(before) and not traits.needs_health_check(spec):
        _drop_if_same(spec, before, "healthCheckNodePort")
    if before["type"] == "LoadBalancer" != spec["type"]:
        _drop_if_same(spec, before, "allocateLoadBalancerNodePorts")
        _drop_if_same(spec, before, "loadBalancerClass")
    if traits.is_external(before) and not traits.is_external(spec):
        _drop_if_same(spec, before, "externalTrafficPolicy")


def _drop_if_same(spec: Json, before: Json, field: str) -> None:
    if field in spec and spec[field] == before.get(field):
        del spec[field]
