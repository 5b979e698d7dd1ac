"""Kubernetes objects as short as they may be."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def namespace(name: str) -> Obj:
    return {"kind": "Namespace", "metadata": {"name": name, "resourceVersion": "1"}}


def service(name: str, *ips: str, ports: tuple[str, ...] = ("http/TCP/80",), **spec: Any) -> Obj:
    """`ports` are `name/protocol/number`; no addresses: headless."""
    spec.setdefault("clusterIPs", list(ips) or ["None"])
    spec["ports"] = [_port(text) for text in ports]
    return {"kind": "Service", "metadata": _meta(name), "spec": spec}


def slice_(service: str, *endpoints: str, ports: tuple[str, ...] = ("http/TCP/80",)) -> Obj:
    """`endpoints` are `address[ hostname[ pod]]`; `!` in front of one that is not ready."""
    family = "IPv6" if any(":" in e for e in endpoints) else "IPv4"
    return {
        "kind": "EndpointSlice",
        "metadata": {
            **_meta(f"{service}-{family.lower()}"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "endpoints": [_endpoint(text) for text in endpoints],
        "ports": [_port(text) for text in ports],
    }


def pod(name: str, ip: str) -> Obj:
    return {"kind": "Pod", "metadata": _meta(name), "status": {"podIP": ip, "phase": "Running"}}


def _meta(name: str) -> Obj:
    return {"name": name, "namespace": "demo", "resourceVersion": "1"}


def _port(text: str) -> Obj:
    name, protocol, number = text.split("/")
    return {"name": name, "protocol": protocol, "port": int(number)}


def _endpoint(text: str) -> Obj:
    ip, *names = text.lstrip("!").split(" ")
    found: Obj = {"addresses": [ip], "conditions": {"ready": not text.startswith("!")}}
    if names and names[0] != "-":
        found["hostname"] = names[0]
    if len(names) > 1:
        found["targetRef"] = {"kind": "Pod", "name": names[1], "namespace": "demo"}
    return found


DEMO = (
    namespace("demo"),
    namespace("empty"),
    service("web", "10.96.1.1", ports=("http/TCP/80", "dns/UDP/53")),
    slice_("web", "10.1.0.1", "10.1.0.2"),
    service("dual", "10.96.1.2", "fd00:10:96::2"),
    service("six", "fd00:10:96::6"),
    service("db", ports=("sql/TCP/5432",)),
    slice_(
        "db", "10.1.0.11 db-0 db-0", "10.1.0.12 - db-1", "!10.1.0.13 db-2 db-2",
        ports=("sql/TCP/5432",),
    ),
    slice_("db", "fd00::11 db-0 db-0", ports=("sql/TCP/5432",)),
    service("none"),
    service("idle"),
    slice_("idle", "!10.1.0.30"),
    service("out", type="ExternalName", externalName="www.example.org", clusterIPs=[]),
    service("in", type="ExternalName", externalName="web.demo.svc.cluster.local", clusterIPs=[]),
    service("bare", "10.96.1.9", ports=()),
    pod("one", "10.1.7.7"),
)  # fmt: skip
COREFILE = """
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint http://127.0.0.1:1
        pods verified
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    loadbalance
}
"""
