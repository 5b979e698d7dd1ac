"""From Node objects to routes, neighbours and forwarding entries, as flannel's VXLAN back end.

    pod ── veth ── cni0 ── route: far podCIDR via its first address, onlink ── flannel.1
                              neighbour: that address is at the far VTEP's MAC
                              forward:   frames for this MAC go to the far node's address, UDP 8472

Pure; the node's annotations carry what the far side must know, in flannel's own words, so that
a node that flannel serves can be reached, too.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.linux.base.links import Forward, Link, Neighbour, Route

DEVICE, BRIDGE, VNI, PORT = "flannel.1", "cni0", 1, 8472
VXLAN_OVERHEAD = 50
BACKEND_DATA = "flannel.alpha.coreos.com/backend-data"
BACKEND_TYPE = "flannel.alpha.coreos.com/backend-type"
PUBLIC_IP = "flannel.alpha.coreos.com/public-ip"


@dataclass(frozen=True, slots=True)
class NodeNet:
    """What the pod network knows of a node."""

    name: str
    pod_cidrs: tuple[str, ...]
    address: str
    """Where encapsulated packets go."""
    mac: str
    """Of its VXLAN device."""


@dataclass(frozen=True, slots=True)
class Fabric:
    """Everything that this node's VXLAN device must hold to reach the others."""

    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    forwards: tuple[Forward, ...] = ()


def vtep_mac(node: str, address: str) -> str:
    """A locally administered MAC that stays the same for a node over restarts."""
    digest = hashlib.sha256(f"{node} {address}".encode()).digest()
    return bytes((digest[0] & 0xFC | 0x02, *digest[1:6])).hex(":")


def node_net(node: Json) -> NodeNet | None:
    """What a Node object says; None while it has no pod range, address or VXLAN device yet."""
    meta, spec = node["metadata"], node.get("spec", {})
    annotations = meta.get("annotations") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    address = annotations.get(PUBLIC_IP) or internal_ip(node)
    try:
        mac = json.loads(annotations.get(BACKEND_DATA, "{}")).get("VtepMAC", "")
    except ValueError:
        mac = ""
    if not (cidrs and address and mac):
        return None
    return NodeNet(meta["name"], tuple(cidrs), address, mac)


def internal_ip(node: Json) -> str:
    addresses = node.get("status", {}).get("addresses") or []
    return next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")


def annotations_for(node: str, address: str) -> dict[str, str]:
    """What a node publishes so that the others can reach its pods."""
    data = {"VNI": VNI, "VtepMAC": vtep_mac(node, address)}
    return {
        BACKEND_DATA: json.dumps(data, separators=(",", ":")),
        BACKEND_TYPE: "vxlan",
        PUBLIC_IP: address,
    }


def fabric(own: str, nodes: Iterable[NodeNet]) -> Fabric:
    """How the node named `own` reaches the pods of all others."""
    routes: list[Route] = []
    neighbours: list[Neighbour] = []
    forwards: list[Forward] = []
    for node in sorted(nodes, key=lambda n: n.name):
        if node.name == own:
            continue
        for cidr in node.pod_cidrs:
            first = str(ipaddress.ip_network(cidr).network_address)
            routes.append(Route(cidr, via=first, device=DEVICE, onlink=True))
            neighbours.append(Neighbour(first, node.mac))
        forwards.append(Forward(node.mac, node.address))
    return Fabric(tuple(routes), tuple(neighbours), tuple(forwards))


def gateway(cidr: str) -> str:
    """The bridge's address in a pod range: the first one behind the network's own."""
    return str(ipaddress.ip_network(cidr)[1])


def own_addresses(cidrs: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses of the bridge and of the VXLAN device on the node that owns these ranges."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    bridge = tuple(f"{net[1]}/{net.prefixlen}" for net in networks)
    device = tuple(f"{net.network_address}/{net.max_prefixlen}" for net in networks)
    return bridge, device


def bridge_link(addresses: tuple[str, ...], mtu: int) -> Link:
    """The node's bridge, with a hardware address of its own: without one it borrows its ports', and
    every pod that comes or goes may take the gateway away from all the others for a second or more.
    """
    mac = pod_mac(addresses[0].partition("/")[0])
    return Link(BRIDGE, "bridge", mac=mac, mtu=mtu, addresses=addresses)


def pod_mac(ip: str) -> str:
    """`0a:58:` and the address, as the common bridge plugin does: an ARP table reads itself."""
    return b"\x0a\x58".hex(":") + ":" + ipaddress.ip_address(ip).packed[-4:].hex(":")
