"""Endpoints that come and go under load, flows of UDP, and one mode after the other."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from sampan.api import kinds
from sampan.linux.real import bpf
from sampan.linux.real.bpf_call import Directory, attached
from tests.proxy.life import (
    VIP,
    VIP6,
    Api,
    Process,
    Running,
    Talk,
    asked,
    endpoints,
    movers,
    note,
    service,
    sh,
    until,
)

pytestmark = pytest.mark.kernel
MODES = ("nftables", "iptables", "ebpf", "userspace")
Start = Callable[..., Process]


# Flows of UDP.

FLOWS = {
    "cluster IP": ("pod", f"udp {VIP}:80", False),
    "node port": ("outside", "udp 192.168.77.1:30080", False),
    "external IP": ("outside", "udp 198.51.100.7:80", False),
    "load balancer": ("outside", "udp 203.0.113.7:80", False),
    "cluster IP, v6": ("pod", f"udp [{VIP6}]:80", True),
    "node port, v6": ("outside", "udp [fd00:77::1]:30080", True),
    "external IP, v6": ("outside", "udp [2001:db8:198::7]:80", True),
}
SOON_S = 1.0
"""Fifty milliseconds are meant; the machine that runs the tests may be busy."""


@pytest.mark.parametrize("mode", MODES)
def test_flows_of_udp_go_with_their_endpoints(
    mode: str, lab: ModuleType, run: Callable[[str], Running]
) -> None:
    for name, (client, target, v6) in FLOWS.items():
        proxy = run(mode)
        web = service(
            protocol="UDP",
            v6=v6,
            type="LoadBalancer",
            externalIPs=["2001:db8:198::7" if v6 else "198.51.100.7"],
        )
        web[1]["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}

        def slice_of(*names: str, leaving: tuple[str, ...] = (), v6: bool = v6) -> tuple[Any, Any]:
            return endpoints(*names, leaving=leaving, protocol="UDP", v6=v6)

        proxy.put(web, slice_of("b1"))
        proxy.start()
        talk, other = Talk(lab, client, target), Talk(lab, client, target)
        talk.until("b1")
        other.until("b1")
        proxy.put_in_force(slice_of("b2", leaving=("b1",)))
        assert {talk.ask() for _ in range(5)} <= {"b1", "timeout"}, "it still serves"
        talk.until("b1")
        begun = time.monotonic()
        proxy.put(slice_of("b2"))
        talk.until("b2")
        took = time.monotonic() - begun
        assert took < SOON_S, name
        proxy.put(slice_of())
        cut = talk.until("refused", "EHOSTUNREACH")
        assert cut < SOON_S, name
        proxy.put(slice_of("b3"))
        back = talk.until("b3")
        other.until("b3")
        proxy.drop(kinds.SERVICES, "web")
        talk.until_nobody()
        note(
            f"{mode}: UDP to {name}: moved after {1000 * took:.0f} ms, refused after "
            f"{1000 * cut:.0f} ms, back after {1000 * back:.0f} ms"
        )
        talk.close()
        other.close()
        proxy.stop()


@pytest.mark.parametrize("mode", ["nftables", "iptables", "ebpf"])
def test_a_restart_cuts_no_flow_and_a_change_only_those_that_lead_nowhere(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    names = ("b1", "b2", "b3")
    api.put(service(protocol="UDP"), endpoints(*names, protocol="UDP"))
    proxy = start(mode)
    talks = [Talk(lab, "pod", f"udp {VIP}:80", timeout=1) for _ in range(12)]
    who = [talk.ask() for talk in talks]
    assert set(who) <= set(names)
    proxy.kill()
    assert [talk.ask() for talk in talks] == who
    proxy = start(mode)
    assert [talk.ask() for talk in talks] == who
    api.put(endpoints("b1", "b2", protocol="UDP"))
    for talk, name in zip(talks, who, strict=True):
        talk.until(*([name] if name != "b3" else ["b1", "b2"]))
    assert [talk.ask() for talk, name in zip(talks, who, strict=True) if name != "b3"] == [
        name for name in who if name != "b3"
    ]
    for talk in talks:
        talk.close()


@pytest.mark.parametrize("v6", [False, True])
def test_sockets_are_translated_without_a_proxy_and_without_rules(
    v6: bool, lab: ModuleType, api: Api, start: Start
) -> None:
    """What pins the programs is the control group, not a process and not nftables."""
    vip = f"[{VIP6}]" if v6 else VIP
    api.put(service(v6=v6), endpoints("b1", v6=v6))
    proxy = start("ebpf")
    proxy.kill()
    sh("nft flush ruleset")
    flow = lab.Flow("pod", f"tcp {vip}:80").connect()
    assert flow.sock.getpeername()[:2] == (vip.strip("[]"), 80)
    assert flow.ask()[0] == "b1"
    flow.close()
    start("ebpf")
    assert asked(lab, f"tcp {vip}:80", client="remote-pod") == "b1"


@pytest.mark.parametrize("v6", [False, True])
def test_datagrams_of_unconnected_sockets_follow_the_endpoints(
    v6: bool, lab: ModuleType, api: Api, start: Start
) -> None:
    vip = (VIP6 if v6 else VIP, 80)
    api.put(service(protocol="UDP", v6=v6), endpoints("b1", protocol="UDP", v6=v6))
    start("ebpf")
    with lab.inside("rp-c"):
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.1)

    def ask() -> str:
        try:
            sock.sendto(b"hello", vip)
            data, peer = sock.recvfrom(100)
        except OSError as error:
            return str(lab.why(error))
        # The program never learns who it was.
        assert peer[:2] == vip
        return data.decode().split()[0]

    until(lambda: ask() == "b1")
    api.put(endpoints("b2", protocol="UDP", v6=v6, leaving=("b1",)))
    until(lambda: ask() == "b2")
    api.put(endpoints("b3", protocol="UDP", v6=v6))
    until(lambda: ask() == "b3")
    api.put(endpoints(protocol="UDP", v6=v6))
    until(lambda: ask() not in ("b1", "b2", "b3"))
    api.put(endpoints("b1", protocol="UDP", v6=v6))
    until(lambda: ask() == "b1")
    sock.close()


@pytest.mark.parametrize("mode", MODES)
def test_established_tcp_is_left_alone(
    mode: str, lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run(mode)
    proxy.put(service(), endpoints("b1"))
    proxy.start()
    held = [lab.Flow("pod", f"tcp {VIP}:80"), lab.Flow("outside", "tcp 192.168.77.1:30080")]
    for flow in held:
        assert flow.connect().ask()[0] == "b1"
    for change in (endpoints("b2"), endpoints()):
        proxy.put_in_force(change)
        assert [flow.ask()[0] for flow in held] == ["b1", "b1"]
    proxy.drop(kinds.SERVICES, "web")
    until(lambda: asked(lab) not in ("b1", "b2"))
    assert [flow.ask()[0] for flow in held] == ["b1", "b1"]
    for flow in held:
        flow.close()


# Node ports at the loopback address.

LOOPBACK = ("tcp 127.0.0.1:30080", "tcp [::1]:30080")


@pytest.mark.parametrize(
    ("mode", "flags", "served"),
    [
        ("iptables", (), (True, False)),
        ("nftables", (), (False, False)),
        ("nftables", ("--nodeport-addresses=primary,localhost",), (True, True)),
        ("nftables", ("--nodeport-addresses=127.0.0.0/8,fd00:77::/64",), (True, False)),
        ("ebpf", (), (True, True)),
        ("ebpf", ("--nodeport-addresses=primary",), (False, False)),
        ("userspace", (), (True, True)),
        ("userspace", ("--nodeport-addresses=192.168.77.0/24",), (False, True)),
    ],
)
def test_the_loopback_serves_node_ports_where_it_should(
    mode: str,
    flags: tuple[str, ...],
    served: tuple[bool, bool],
    lab: ModuleType,
    api: Api,
    start: Start,
) -> None:
    for v6, where, wanted in zip((False, True), LOOPBACK, served, strict=True):
        api.put(service(v6=v6), endpoints("b1", v6=v6))
        proxy = start(mode, *flags)
        found = asked(lab, where, client="node")
        assert (found == "b1") is wanted, f"{where}: {found}"
        proxy.stop()


def test_a_port_of_another_process_is_told_and_served_when_it_is_free(
    lab: ModuleType, api: Api, start: Start
) -> None:
    with lab.inside("rp-node"):
        other = socket.create_server(("127.0.0.1", 30080))
    api.put(service(), endpoints("b1"))
    proxy = start("nftables", "--nodeport-addresses=primary,localhost")
    until(lambda: any(e["reason"] == "FailedToOpenNodePort" for e in api.fake.all(kinds.EVENTS)))
    assert proxy.said("a node port is taken") == 1
    assert asked(lab) == "b1"
    assert asked(lab, "tcp 192.168.77.1:30080", client="outside") == "b1"
    other.close()
    until(lambda: asked(lab, LOOPBACK[0], client="node") == "b1", 15)


# One mode after the other.

CIRCUIT = (
    *("nftables", "iptables", "nftables", "ebpf", "nftables", "userspace", "iptables"),
    *("ebpf", "iptables", "userspace", "ebpf", "userspace", "nftables"),
)
"""Every ordered pair once."""


def leftovers(cgroup: str) -> set[str]:
    """Whose things there are."""
    found = set()
    rules = sh("nft list ruleset")
    if "table ip kube-proxy" in rules or "table ip6 kube-proxy" in rules:
        found.add("nftables")
    if "KUBE-" in rules:
        found.add("iptables")
    with Directory(cgroup) as group:
        programs = [one for kind in bpf.ATTACH.values() for one in attached(group, kind)]
    for one in programs:
        os.close(one)
    if programs:
        found.add("ebpf")
    if "kube-ipvs0" in sh("ip link"):
        found.add("ipvs")
    if movers():
        found.add("a process")
    return found


def test_from_every_mode_to_every_other_nothing_is_left_and_connections_go_on(
    lab: ModuleType, api: Api, start: Start, cgroup: str
) -> None:
    api.put(service(), endpoints("b1"))
    assert len({*itertools.pairwise(CIRCUIT)}) == len(MODES) * (len(MODES) - 1)
    before: Process | None = None
    held: list[Any] = []
    for mode in CIRCUIT:
        wanted = {"ebpf": {"nftables", "ebpf", "a process"}, "userspace": {"nftables", "a process"}}
        if before is not None:
            before.stop()
        process = start(mode)
        want = wanted.get(mode, {mode})
        until(lambda want=want: leftovers(cgroup) == want)  # type: ignore[misc]
        assert asked(lab) == "b1", mode
        assert [flow.ask()[0] for flow in held] == ["b1"] * len(held), mode
        if mode != "userspace":
            held.append(lab.Flow("pod", f"tcp {VIP}:80").connect())
            held.append(lab.Flow("outside", "tcp 192.168.77.1:30080").connect())
        before = process
    for flow in held:
        flow.close()
