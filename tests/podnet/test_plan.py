"""What the pod network decides from Nodes."""

import json
from typing import Any

from sampan.linux.base.links import Forward, Neighbour, Route
from sampan.podnet import plan


def node(name: str, number: int, **more: Any) -> dict[str, Any]:
    address = f"192.168.7.{number}"
    return {
        "metadata": {"name": name, "annotations": plan.annotations_for(name, address)},
        "spec": {"podCIDR": f"10.244.{number}.0/24", "podCIDRs": [f"10.244.{number}.0/24"], **more},
    }


def test_every_other_node_gets_a_route_a_neighbour_and_a_forward() -> None:
    nets = [plan.node_net(node(f"n{i}", i)) for i in (1, 2, 3)]
    fabric = plan.fabric("n1", [net for net in nets if net])
    mac = plan.vtep_mac("n2", "192.168.7.2")
    first = Route("10.244.2.0/24", via="10.244.2.0", device="flannel.1", onlink=True)
    assert fabric.routes[0] == first
    assert fabric.neighbours[0] == Neighbour("10.244.2.0", mac)
    assert fabric.forwards[0] == Forward(mac, "192.168.7.2")
    assert len(fabric.routes) == len(fabric.forwards) == 2


def test_both_families_share_one_forward() -> None:
    two = node("n2", 2, podCIDRs=["10.244.2.0/24", "fd00:10:244:2::/64"])
    net = plan.node_net(two)
    assert net
    fabric = plan.fabric("n1", [net])
    assert [route.to for route in fabric.routes] == ["10.244.2.0/24", "fd00:10:244:2::/64"]
    assert fabric.neighbours[1].ip == "fd00:10:244:2::"
    assert len(fabric.forwards) == 1


def test_a_node_without_range_or_device_is_not_reached() -> None:
    bare = node("n2", 2)
    bare["spec"] = {}
    assert plan.node_net(bare) is None
    silent = node("n3", 3)
    silent["metadata"]["annotations"] = {}
    assert plan.node_net(silent) is None
    broken = node("n4", 4)
    broken["metadata"]["annotations"][plan.BACKEND_DATA] = "{"
    assert plan.node_net(broken) is None


def test_a_device_mac_is_local_unicast_and_stays() -> None:
    mac = plan.vtep_mac("n1", "192.168.7.1")
    assert mac == plan.vtep_mac("n1", "192.168.7.1") != plan.vtep_mac("n2", "192.168.7.2")
    assert int(mac[:2], 16) & 0x03 == 0x02
    data = json.loads(plan.annotations_for("n1", "192.168.7.1")[plan.BACKEND_DATA])
    assert data == {"VNI": 1, "VtepMAC": mac}


def test_the_bridge_has_the_first_address_and_the_device_the_network_address() -> None:
    bridge, device = plan.own_addresses(["10.244.1.0/24", "fd00:10:244:1::/64"])
    assert bridge == ("10.244.1.1/24", "fd00:10:244:1::1/64")
    assert device == ("10.244.1.0/32", "fd00:10:244:1::/128")


def test_a_pod_mac_spells_the_address() -> None:
    assert plan.pod_mac("10.244.1.2") == "0a:58:0a:f4:01:02"
