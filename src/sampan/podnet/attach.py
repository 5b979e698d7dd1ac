"""One pod's wire: a veth pair from its namespace to the node's bridge.

The pod has its address with the range's prefix length but no route to the range: every packet
goes to the node first, also one for a neighbour on the same bridge. So the node's connection
tracking sees both directions of a translated connection without bridge-nf-call-iptables (see
docs/adr/pods-route-through-their-node.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Callable

from sampan.linux.base.links import Links, Route, Veth
from sampan.podnet import plan

OpenLinks = Callable[[str], Links]
"""A namespace's path to its links; the caller closes them."""


def veth_name(sandbox: str) -> str:
    """The node's end of the pair: the same for a sandbox each time, 15 characters at most."""
    return "veth" + hashlib.sha256(sandbox.encode()).hexdigest()[:8]


def pod_routes(gateways: tuple[str, ...]) -> list[Route]:
    """Both families: the gateway on the link, and everything else through it."""
    routes = []
    for ip in gateways:
        six = ":" in ip
        routes.append(Route(f"{ip}/{128 if six else 32}", device="eth0"))
        routes.append(Route("::/0" if six else "0.0.0.0/0", via=ip, device="eth0"))
    return routes


def wire(
    node: Links, open_links: OpenLinks, sandbox: str, netns: str, ips: dict[str, str], *, mtu: int
) -> None:
    """Connect the namespace at `netns`; `ips` maps each pod range to the pod's address in it."""
    addresses = list(ips.values())
    veth = Veth(
        veth_name(sandbox), "eth0", netns, mtu=mtu, mac=plan.pod_mac(addresses[0]),
        master=plan.BRIDGE, hairpin=True,
    )  # fmt: skip
    node.ensure_veth(veth)
    pod = open_links(netns)
    with contextlib.closing(pod):
        pod.up("lo")
        pod.up("eth0")
        for cidr, ip in ips.items():
            prefix = ipaddress.ip_network(cidr).prefixlen
            pod.set_address("eth0", f"{ip}/{prefix}", prefix_route=False)
        gateways = tuple(plan.gateway(cidr) for cidr in ips)
        for route in pod_routes(gateways):
            pod.add_routes([route])
