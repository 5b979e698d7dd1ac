"""Random small clusters for property tests, and the packets worth sending through them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck
from hypothesis import settings as how
from hypothesis import strategies as st

from sampan.linux.walk.packet import Host, Packet
from sampan.proxy.settings import Detector, FamilySettings, Settings
from sampan.proxy.tracker import Tracker
from sampan.services.answer import Place
from sampan.services.slices import PROXY_NAME_LABEL

Json = dict[str, Any]
HOST = Host(frozenset({"192.168.77.1", "192.168.77.3", "10.244.1.1", "fd00:77::1", "fd00:77::3"}))
PLACE = Place("n1", "east")
PODS = {"IPv4": "10.244.{}.{}", "IPv6": "fd00:10:244:{}::{}"}
SOURCES = {
    4: (
        ("10.244.1.10", "veth0"),
        ("10.244.1.11", "veth1"),
        ("10.244.2.11", "eth0"),
        ("192.168.77.1", ""),
        ("192.168.77.100", "eth0"),
        ("192.168.77.101", "eth0"),
    ),
    6: (
        ("fd00:10:244:1::10", "veth0"),
        ("fd00:10:244:1::11", "veth1"),
        ("fd00:77::1", ""),
        ("fd00:77::100", "eth0"),
    ),
}


@st.composite
def settings(draw: st.DrawFn, *, any_address: bool = True) -> Settings:
    """A node's settings, the same choices for both families."""
    detector = draw(st.sampled_from(("cidr", "interface", "none", "cidr of one family")))
    everywhere = draw(st.booleans()) if any_address else False
    masquerade_all = draw(st.booleans())
    bit = draw(st.sampled_from((14, 14, 0, 31)))
    made = []
    for family, pods, node in (
        (4, "10.244.0.0/16", "192.168.77.1"),
        (6, "fd00:10:244::/56", "fd00:77::1"),
    ):
        known = {"cidr": Detector((pods,)), "interface": Detector(interface="veth*")}
        if family == 4:
            known["cidr of one family"] = known["cidr"]
        made.append(
            FamilySettings(
                family,
                known.get(detector, Detector()),
                masquerade_all=masquerade_all,
                masquerade_bit=bit,
                drop_invalid=bit == 14,
                node_port_ips=None if everywhere else (node,),
                service_cidrs=("10.96.0.0/12",) if family == 4 else ("fd00:10:96::/112",),
                node_ips=(node,),
            )
        )
    return Settings("n1", tuple(made))


@st.composite
def services(draw: st.DrawFn, number: int) -> Json:
    """Service `svc-N`; addresses and node ports follow from its number, features are drawn."""
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer")))
    dual = draw(st.booleans())
    spec: Json = {"type": kind, "clusterIPs": [f"10.96.0.{number + 1}"]}
    if dual:
        spec["clusterIPs"].append(f"fd00:10:96::{number + 1}")
    protocols = draw(st.sampled_from((("TCP",), ("UDP",), ("TCP", "UDP"), ("SCTP",))))
    spec["ports"] = [
        {
            "name": protocol.lower(),
            "port": 80,
            "protocol": protocol,
            **({} if kind == "ClusterIP" else {"nodePort": 30080 + number}),
        }
        for protocol in protocols
    ]
    if draw(st.booleans()):
        extra: Json = {"name": "extra", "port": 81, "targetPort": "extra", "protocol": "TCP"}
        spec["ports"].append(
            extra if kind == "ClusterIP" else {**extra, "nodePort": 30090 + number}
        )
    spec["internalTrafficPolicy"] = draw(st.sampled_from(("Cluster", "Local")))
    if kind != "ClusterIP":
        spec["externalTrafficPolicy"] = draw(st.sampled_from(("Cluster", "Local")))
    if draw(st.booleans()):
        spec["sessionAffinity"] = "ClientIP"
    spec["externalIPs"] = draw(st.sampled_from(EXTERNAL_IPS)).format(number).split()
    labels = draw(st.sampled_from((*[{}] * 9, {PROXY_NAME_LABEL: ""})))
    obj: Json = {
        "metadata": {"name": f"svc-{number}", "namespace": "default", "labels": labels},
        "spec": spec,
    }
    if kind == "LoadBalancer":
        _balanced(draw, obj, number)
    return obj


def _balanced(draw: st.DrawFn, obj: Json, number: int) -> None:
    """A load balancer's addresses, if it has them yet, and who may use them."""
    ips = [f"203.0.113.{number}", f"2001:db8:113::{number}"]
    mode = draw(st.sampled_from((None, None, "VIP", "Proxy", "pending")))
    if mode != "pending":
        ingress = [{"ip": ip, "ipMode": mode} for ip in ips]
        obj["status"] = {"loadBalancer": {"ingress": ingress}}
    if draw(st.booleans()):
        for port in obj["spec"]["ports"]:
            del port["nodePort"]
    obj["spec"]["loadBalancerSourceRanges"] = draw(st.sampled_from(RANGES))


EXTERNAL_IPS = ("", "198.51.100.1 2001:db8::{0}", "198.51.100.1", "2001:DB8::000{0} 203.0.113.{0}")
RANGES = (
    [],
    ["192.168.77.101/32"],
    ["10.244.0.0/16", "10.244.1.0/24", "fd00:77::101/128"],
    [" 10.244.1.11/24 ", "nobody", "192.168.77.100"],
    ["192.168.77.0/26", "fd00:77::/64"],
    ["0.0.0.0/0", "fd00:10:244:1::/64"],
)


@st.composite
def slices(draw: st.DrawFn, number: int, family: str) -> Json:
    """The slice of `svc-N` in a family."""
    endpoints = []
    for last in draw(st.lists(st.integers(11, 15), unique=True, max_size=4)):
        node = draw(st.sampled_from((1, 2)))
        state = draw(st.sampled_from(("ready", "ready", "unready", "draining", "gone")))
        one: Json = {
            "addresses": [PODS[family].format(node, last)],
            "nodeName": f"n{node}",
            "conditions": {
                "ready": state == "ready",
                "serving": state in ("ready", "draining"),
                "terminating": state in ("draining", "gone"),
            },
        }
        zone = draw(st.sampled_from((None, None, "east", "west")))
        if zone:
            one["hints"] = {"forZones": [{"name": zone}]}
        hinted = draw(st.sampled_from((None, None, "n1", "n2")))
        if hinted:
            one.setdefault("hints", {})["forNodes"] = [{"name": hinted}]
        if draw(st.integers(0, 9)) == 0:
            del one["nodeName"]
        endpoints.append(one)
    return {
        "metadata": {
            "name": f"svc-{number}-{family.lower()}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": f"svc-{number}"},
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [
            {"name": protocol, "port": 8080, "protocol": protocol.upper()}
            for protocol in ("tcp", "udp", "sctp")
        ]
        + [{"name": "extra", "port": draw(st.sampled_from((8080, 9090))), "protocol": "TCP"}],
    }


Change = tuple[str, int, Json | None]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One thing that happens: a Service or a slice appears, changes or goes away, or the node gets
    another zone. A Service has up to two slices of IPv4, which may hold the same endpoints.
    """
    number = draw(st.integers(0, 2))
    what = draw(st.sampled_from(("service", "service", "IPv4", "IPv4", "IPv4-b", "IPv6", "zone")))
    if what == "zone":
        return what, 0, {"zone": draw(st.sampled_from(("east", "west", "")))}
    if draw(st.integers(0, 4)) == 0:
        return what, number, None
    if what == "service":
        return what, number, draw(services(number))
    made = draw(slices(number, what.removesuffix("-b")))
    made["metadata"]["name"] += what[4:]
    return what, number, made


STEPS = st.lists(changes(), min_size=1, max_size=8)
QUIET = how(
    max_examples=int(os.environ.get("SAMPAN_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
"""Few examples in the plain run; SAMPAN_EXAMPLES=500 for a long one."""


class World:
    """Objects as they are now, fed to a tracker change by change."""

    def __init__(self) -> None:
        self.tracker = Tracker(PLACE)
        self._objects: dict[tuple[str, int], Json] = {}

    def happen(self, change: Change) -> None:
        what, number, new = change
        if what == "zone":
            self.tracker.move(Place("n1", (new or {})["zone"]))
            return
        old = self._objects.pop((what, number), None)
        if new is not None:
            self._objects[what, number] = new
        if what == "service":
            self.tracker.service(old, new)
        else:
            self.tracker.slice(old, new)

    def objects(self) -> Mapping[tuple[str, int], Json]:
        return self._objects


def packets(family: int) -> list[Packet]:
    """Every source against every destination that a Service of these worlds may have."""
    if family == 4:
        targets = [(f"10.96.0.{n}", 80) for n in (1, 2, 3, 9)]
        targets += [("10.96.0.1", 81), ("10.96.0.2", 81), ("198.51.100.1", 80), ("8.8.8.8", 53)]
        targets += [("203.0.113.1", 81)]
        targets += [(f"203.0.113.{n}", 80) for n in range(3)]
        nodes = ["192.168.77.1", "192.168.77.3", "127.0.0.1"]
    else:
        targets = [("fd00:10:96::1", 80), ("fd00:10:96::2", 80), ("fd00:10:96::99", 80)]
        targets += [("2001:db8::1", 80), ("2001:db8:113::1", 80)]
        nodes = ["fd00:77::1", "fd00:77::3", "::1"]
    targets += [(ip, 30080 + n) for ip in nodes for n in range(3)]
    targets += [(nodes[0], 30090), (nodes[0], 30091)]
    loopback = {"127.0.0.1", "::1"}
    made = [
        Packet(source, ip, protocol, port, interface)
        for source, interface in SOURCES[family]
        for ip, port in targets
        for protocol in ("tcp", "udp")
        if ip not in loopback
    ]
    far = "192.168.77.100" if family == 4 else "fd00:77::100"
    made += [Packet(far, ip, "sctp", port, "eth0") for ip, port in targets[:3]]
    return made + [Packet(ip, ip, "tcp", port) for ip, port in targets if ip in loopback]
