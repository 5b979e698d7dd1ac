"""Links over rtnetlink, in a namespace of the test's own."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from sampan.linux.base.links import Forward, Link, Neighbour, Route, Veth, Vxlan
from sampan.linux.real.links import NetlinkLinks
from sampan.linux.real.netns import inside

pytestmark = pytest.mark.kernel


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    names = [f"smp-test-{os.getpid()}-{i}" for i in (1, 2)]
    for name in names:
        ip("netns", "add", name)
    yield names[0], names[1]
    for name in names:
        ip("netns", "del", name)


@pytest.fixture
def links(namespaces: tuple[str, str]) -> Iterator[NetlinkLinks]:
    with inside(f"/run/netns/{namespaces[0]}"):
        made = NetlinkLinks()
    yield made
    made.close()


def test_a_bridge_is_made_once_and_comes_up_with_its_address(links: NetlinkLinks) -> None:
    for _ in range(2):
        links.ensure(Link("cni0", "bridge", mtu=1350, addresses=("10.244.1.1/24",)))
    (bridge,) = [link for link in links.all() if link.name == "cni0"]
    assert (bridge.kind, bridge.mtu, bridge.up) == ("bridge", 1350, True)
    assert "10.244.1.1/24" in bridge.addresses


def test_a_link_of_another_kind_is_replaced(links: NetlinkLinks) -> None:
    links.ensure(Link("x0", "bridge"))
    links.ensure(Link("x0", "vxlan", vxlan=Vxlan(vni=7, local="127.0.0.1")))
    assert [link.kind for link in links.all() if link.name == "x0"] == ["vxlan"]


def test_vxlan_with_routes_neighbours_and_forwards_follows_the_wanted_state(
    links: NetlinkLinks, namespaces: tuple[str, str]
) -> None:
    links.ensure(Link("eth0", "bridge", addresses=("192.168.7.1/24",)))
    vxlan = Vxlan(vni=1, local="192.168.7.1", device="eth0")
    links.ensure(
        Link(
            "flannel.1", "vxlan", mac="02:00:00:00:00:01", addresses=("10.244.1.0/32",), vxlan=vxlan
        )
    )
    for last in ("2", "3"):
        mac = f"02:00:00:00:00:0{last}"
        links.sync_routes(
            "flannel.1",
            [Route(f"10.244.{last}.0/24", via=f"10.244.{last}.0", device="flannel.1", onlink=True)],
        )
        links.sync_neighbours("flannel.1", [Neighbour(f"10.244.{last}.0", mac)])
        links.sync_forwards("flannel.1", [Forward(mac, f"192.168.7.{last}")])
    inside_it = ("netns", "exec", namespaces[0])
    assert "10.244.3.0/24 via 10.244.3.0 dev flannel.1 proto static onlink" in ip(
        *inside_it, "ip", "route"
    )
    assert "10.244.2.0/24" not in ip(*inside_it, "ip", "route")
    neighbours = ip(*inside_it, "ip", "neigh", "show", "dev", "flannel.1")
    assert neighbours.split() == ["10.244.3.0", "lladdr", "02:00:00:00:00:03", "PERMANENT"]
    forwards = ip(*inside_it, "bridge", "fdb", "show", "dev", "flannel.1")
    assert "02:00:00:00:00:03 dst 192.168.7.3 self permanent" in forwards
    assert "192.168.7.2" not in forwards
    assert "dstport 8472" in ip(*inside_it, "ip", "-d", "link", "show", "flannel.1")


def test_a_veth_joins_two_namespaces(links: NetlinkLinks, namespaces: tuple[str, str]) -> None:
    links.ensure(Link("cni0", "bridge", addresses=("10.244.1.1/24",)))
    veth = Veth(
        "veth1",
        "eth0",
        f"/run/netns/{namespaces[1]}",
        mtu=1400,
        mac="02:00:0a:f4:01:02",
        master="cni0",
    )
    for _ in range(2):
        links.ensure_veth(veth)
    with inside(f"/run/netns/{namespaces[1]}"):
        far = NetlinkLinks()
    far.up("lo")
    far.up("eth0")
    far.set_address("eth0", "10.244.1.2/24", prefix_route=False)
    far.add_routes([Route("10.244.1.1/32", device="eth0")])
    far.add_routes([Route("0.0.0.0/0", via="10.244.1.1", device="eth0")])
    routes = ip("netns", "exec", namespaces[1], "ip", "route")
    assert routes.splitlines() == [
        "default via 10.244.1.1 dev eth0 proto static ",
        "10.244.1.1 dev eth0 proto static scope link ",
    ]
    ip("netns", "exec", namespaces[1], "ping", "-c1", "-W2", "10.244.1.1")
    far.close()
    links.delete("veth1")
    links.delete("veth1")


def test_a_refusal_of_the_kernel_is_an_os_error(links: NetlinkLinks) -> None:
    with pytest.raises(OSError, match="no link named nowhere"):
        links.up("nowhere")


def test_one_link_is_found_among_others_by_its_name(links: NetlinkLinks) -> None:
    links.ensure(Link("one", "bridge", addresses=tuple(f"10.96.{n}.1/32" for n in range(200))))
    links.ensure(Link("other", "bridge"))
    by_name = {link.name: link.index for link in links.all()}
    assert links.index("one") == by_name["one"]
    assert links.index("other") == by_name["other"]
    assert links.has("one")
    for name in ("nobody", "", "longer-than-a-name-may-be"):
        assert not links.has(name)
        with pytest.raises(OSError, match="no link named"):
            links.index(name)
