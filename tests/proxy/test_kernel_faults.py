"""Faults: what somebody else does to the rules, to the API server or to the proxy itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from sampan.linux.base.nft import Element, NftError, SetRef
from sampan.linux.real import bpf
from sampan.linux.real.bpf_call import Directory, attached
from sampan.linux.real.iptables import generation
from sampan.linux.real.nft import RealNft
from tests.proxy.life import (
    VIP,
    Api,
    Process,
    asked,
    children,
    endpoints,
    movers,
    note,
    service,
    sh,
    until,
)

pytestmark = pytest.mark.kernel
SOON_S = 5.0
"""A second is meant; the machine that runs the tests may be busy."""
MODES = ("nftables", "iptables", "ebpf", "userspace")
Start = Callable[..., Process]


def chain(prefix: str) -> str:
    found = re.search(rf"{prefix}-[A-Z0-9]+", sh("iptables-save -t nat"))
    assert found
    return found[0]


DAMAGE = {
    "nftables": (
        "nft flush ruleset",
        "nft delete table ip kube-proxy",
        "nft flush chain ip kube-proxy services",
        "nft flush map ip kube-proxy endpoints-1",
        "nft delete element ip kube-proxy cluster-ips '{ 10.96.0.1 }'",
        "nft insert rule ip kube-proxy services drop",
        "iptables -t nat -F; nft flush table ip kube-proxy",
    ),
    "iptables": (
        "nft flush ruleset",
        "iptables -t nat -F",
        "iptables -t nat -F PREROUTING",
        "iptables -t nat -F {KUBE-SVC}",
        "iptables -t nat -R {KUBE-SEP} 2 -p tcp -j DNAT --to-destination 10.244.1.99:1",
        "iptables -t nat -F KUBE-SERVICES",
        "iptables -t filter -F KUBE-FORWARD; iptables -t nat -F {KUBE-SEP}",
    ),
    "ebpf": ("nft flush ruleset",),
    "userspace": ("nft flush ruleset", "nft flush map ip kube-proxy endpoints-1"),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_somebody_else_breaks_is_repaired(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    api.put(service(), endpoints("b1"))
    proxy = start(mode)
    held = lab.Flow("pod", f"tcp {VIP}:80").connect()
    assert held.ask()[0] == "b1"
    for number, command in enumerate(DAMAGE[mode], 1):
        words = re.sub(r"\{(KUBE-\w+)\}", lambda found: chain(found[1]), command)
        sh(words)
        took = until(lambda least=number: proxy.said("repaired") >= least)  # type: ignore[misc]
        assert took < SOON_S, words
        assert asked(lab) == "b1", words
        # A flow that is translated in the kernel does not even notice.
        assert held.ask()[0] == "b1", words
        note(f"{mode}: {words}: repaired after {took:.3f} s")
    held.close()
    # Nobody touches anything: nothing is repaired, nothing is written.
    repairs = proxy.said("repaired")
    with lab.inside("rp-node"):
        before = generation()
        time.sleep(1.5)
        assert generation() == before
    assert proxy.said("repaired") == repairs


def test_detached_programs_and_changed_maps_are_repaired(
    lab: ModuleType, api: Api, start: Start, cgroup: str
) -> None:
    api.put(service(), endpoints("b1"))
    proxy = start("ebpf")
    with Directory(cgroup) as group:

        def there() -> int:
            found = [one for kind in bpf.ATTACH.values() for one in attached(group, kind)]
            for descriptor in found:
                os.close(descriptor)
            return len(found)

        assert there() == len(bpf.ATTACH)
        bpf._detach(group, None)
        assert there() == 0
        assert asked(lab) == "b1"
        took = until(lambda: there() == len(bpf.ATTACH))
        assert took < SOON_S
        note(f"ebpf: programs detached: repaired after {took:.3f} s")
        until(lambda: proxy.said("repaired") == 1)
        repairs = 1
        assert _take_service_out(group)
        took = until(lambda: proxy.said("repaired") > repairs and _services(group) == 1)
        assert took < SOON_S
    assert asked(lab) == "b1"


def _map(group: int) -> int:
    (program, *rest) = attached(group, bpf.ATTACH["connect4"])
    try:
        for number in bpf.map_numbers(program):
            descriptor = bpf.bpf(bpf.MAP_FD, number.to_bytes(4, "little"))
            if bpf.map_info(descriptor)[0] == "services":
                return descriptor
            os.close(descriptor)
        raise AssertionError("no map of services")
    finally:
        for one in (program, *rest):
            os.close(one)


def _services(group: int) -> int:
    descriptor = _map(group)
    try:
        return len(bpf.contents(descriptor, 20, 12))
    finally:
        os.close(descriptor)


def _take_service_out(group: int) -> bool:
    """As `bpftool map delete` would."""
    import ctypes
    import struct

    descriptor = _map(group)
    try:
        for key in bpf.contents(descriptor, 20, 12):
            buffer = ctypes.create_string_buffer(key, len(key))
            where = ctypes.addressof(buffer)
            bpf.bpf(bpf.MAP_DELETE, struct.pack("=IIQQQ", descriptor, 0, where, 0, 0))
            return True
        return False
    finally:
        os.close(descriptor)


def test_the_moving_process_comes_back(lab: ModuleType, api: Api, start: Start) -> None:
    api.put(service(), endpoints("b1"))
    proxy = start("userspace")
    for _ in range(3):
        (mover,) = children(proxy.pid)
        os.kill(mover, signal.SIGKILL)
        took = until(lambda: asked(lab) == "b1")
        assert took < SOON_S
        assert len(children(proxy.pid)) == 1
    (mover,) = children(proxy.pid)
    proxy.stop()
    assert movers() == [mover], "also one that was started again outlives its proxy"
    assert asked(lab) == "b1"


# A connection that comes in the moment in which the server goes is nobody's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mode", MODES)
def test_traffic_goes_on_without_an_api_server_and_catches_up(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    api.put(service(), endpoints("b1"))
    start(mode)
    api.stop()
    for _ in range(10):
        assert asked(lab) == "b1"
        time.sleep(0.1)
    api.fake.put(*endpoints("b2"))
    api.start()
    until(lambda: asked(lab) == "b2", 10)


@pytest.mark.parametrize("mode", MODES)
def test_a_lost_history_costs_no_rule(mode: str, lab: ModuleType, api: Api, start: Start) -> None:
    api.put(service(), endpoints("b1"))
    proxy = start(mode)
    with lab.inside("rp-node"):
        before = generation()
        api.forget_history()
        time.sleep(0.5)
    with lab.inside("rp-node"):
        assert generation() == before
    api.put(endpoints("b2"))
    until(lambda: asked(lab) == "b2")
    assert proxy.said("repairing") == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_proxy_that_is_killed_in_a_change_is_right_again_when_it_comes_back(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    names = ("b1", "b2", "b3")
    api.put(service(), endpoints(*names))
    proxy = start(mode)
    held = [lab.Flow("pod", f"tcp {VIP}:80").connect() for _ in range(6)]
    who = [flow.ask()[0] for flow in held]
    for turn in range(4):
        # In the middle of as many changes as it can take.
        for step in range(20):
            api.put(endpoints(*names[: 1 + step % 3]))
        time.sleep(0.01 * turn)
        proxy.kill()
        api.put(endpoints("b2"))
        proxy = start(mode)
        assert {asked(lab) for _ in range(5)} == {"b2"}
        assert [flow.ask()[0] for flow in held] == who
    for flow in held:
        flow.close()


@pytest.mark.parametrize("mode", ["nftables", "iptables", "ebpf"])
def test_a_killed_proxy_that_finds_everything_in_place_writes_nothing(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    api.put(
        service(
            externalIPs=["198.51.100.7"],
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
            externalTrafficPolicy="Local",
        ),
        endpoints("b1", "b2"),
    )
    proxy = start(mode)
    first = asked(lab)
    proxy.kill()
    with lab.inside("rp-node"):
        before = generation()
    start(mode)
    with lab.inside("rp-node"):
        assert generation() == before
    assert asked(lab) == first


# Netlink itself.

TABLE = "add table ip kube-proxy\nadd set ip kube-proxy numbers { type ipv4_addr; }"
NUMBERS = SetRef("ip", "kube-proxy", "numbers")


@pytest.fixture
def nft(lab: ModuleType) -> Iterator[RealNft]:
    with lab.inside("rp-node"):
        made = RealNft()
    made.run(TABLE)
    yield made
    made.run("delete table ip kube-proxy")
    made.close()


def numbers(count: int) -> list[Element]:
    return [Element(struct.pack("!I", number)) for number in range(1, count + 1)]


def test_a_refusal_of_very_much_is_one_error_and_the_next_answer_is_the_next_ones(
    nft: RealNft,
) -> None:
    many = numbers(200_000)
    for _ in range(2):
        with pytest.raises(NftError):
            nft.commit({NUMBERS: many}, {})
        with pytest.raises(NftError):
            nft.commit({SetRef("ip", "kube-proxy", f"n{n}"): many[:1] for n in range(9000)}, {})
    nft.commit({}, {NUMBERS: many[:10]})
    assert len(nft.elements(NUMBERS)) == 10


def test_more_news_than_the_queue_holds_is_news(nft: RealNft, lab: ModuleType) -> None:
    with lab.inside("rp-node"):
        watch = nft.watch([("ip", "kube-proxy")])
    assert not watch.foreign()
    watch._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    names = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(5000))
    sh("nft add element ip kube-proxy numbers '{ 192.0.2.1 }'")
    sh(f"nft add element ip kube-proxy numbers '{{ {names} }}'")
    assert watch.foreign()
    while watch.foreign():
        pass
    sh("nft add element ip kube-proxy numbers '{ 192.0.2.2 }'")
    assert watch.foreign()


def test_a_set_that_is_written_while_it_is_read_is_read_whole(
    nft: RealNft, lab: ModuleType
) -> None:
    nft.commit({}, {NUMBERS: numbers(20_000)})
    over = threading.Event()

    def disturb() -> None:
        with lab.inside("rp-node"):
            other = RealNft()
        extra = {NUMBERS: [Element(b"\xc0\x00\x02\x01")]}
        while not over.is_set():
            other.commit({}, extra)
            other.commit(extra, {})
            time.sleep(0.02)
        other.close()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(5):
            assert len(nft.elements(NUMBERS)) in (20_000, 20_001)
    finally:
        over.set()
        thread.join()
