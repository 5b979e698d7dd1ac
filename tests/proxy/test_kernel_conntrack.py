"""Flows of UDP that a real kernel forgets unseen: those that are meant, and no other."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from sampan.linux.base.conntrack import Leading
from sampan.linux.real import netns
from sampan.linux.real.conntrack import RealConntrack

pytestmark = pytest.mark.kernel
SPACE = "ct-forget"
RULES = """
table inet t {
  chain nat {
    type nat hook output priority -100
    ip daddr 127.9.0.1 udp dport 53 dnat to 127.0.0.2:8080
    ip daddr 127.9.0.2 udp dport 53 dnat to 127.0.0.3:8080
    ip6 daddr fd00::53 udp dport 53 dnat to [::1]:8080
  }
}
"""
WAYS = {
    "one": ("127.9.0.1", 53),
    "two": ("127.9.0.2", 53),
    "straight": ("127.0.0.9", 53),
    "other port": ("127.0.0.9", 54),
    "v6": ("fd00::53", 53),
}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def conntrack() -> Iterator[RealConntrack]:
    ip("netns", "add", SPACE)
    try:
        ip("-n", SPACE, "link", "set", "lo", "up")
        ip("-n", SPACE, "addr", "add", "fd00::53/128", "dev", "lo", "nodad")
        subprocess.run(
            ["ip", "netns", "exec", SPACE, "nft", "-f", "-"], input=RULES, text=True, check=True
        )
        with netns.inside(f"/run/netns/{SPACE}"):
            made = RealConntrack()
            for address, port in WAYS.values():
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                with socket.socket(family, socket.SOCK_DGRAM) as sock:
                    sock.sendto(b"x", (address, port))
        yield made
        made.close()
    finally:
        ip("netns", "del", SPACE)


def left(conntrack: RealConntrack) -> set[str]:
    found = [*conntrack.flows(4), *conntrack.flows(6)]
    names = {way: name for name, way in WAYS.items()}
    return {names[flow.destination, flow.destination_port] for flow in found}


def test_flows_to_one_address_are_found(conntrack: RealConntrack) -> None:
    for address, port in WAYS.values():
        family = 6 if ":" in address else 4
        found = conntrack.flows(family, destination=address, port=port)
        assert [(flow.destination, flow.destination_port) for flow in found] == [(address, port)]
    assert list(conntrack.flows(6, destination="fd00::54", port=53)) == []


def test_flows_to_several_places_are_found_in_one_look(conntrack: RealConntrack) -> None:
    places = frozenset({("127.9.0.1", 53), ("127.0.0.9", 54), ("127.9.0.2", 54)})
    found = {(one.destination, one.destination_port) for one in conntrack.flows(4, among=places)}
    assert found == {("127.9.0.1", 53), ("127.0.0.9", 54)}
    assert len(list(conntrack.flows(4, port=53, among=places))) == 1
    assert len(list(conntrack.flows(4, among=frozenset({("", 53)})))) == 3
    assert len(list(conntrack.flows(6, among=frozenset({("", 53)})))) == 1
    assert len(list(conntrack.flows(6, among=frozenset({("fd00::53", 53)})))) == 1
    assert list(conntrack.flows(6, among=frozenset({("fd00::54", 53)}))) == []


@pytest.mark.parametrize(
    ("leading", "gone"),
    [
        (Leading(4, "127.9.0.1", 53), {"one"}),
        (Leading(4, "127.9.0.1", 53, "127.0.0.2", 8080), {"one"}),
        (Leading(4, "127.9.0.1", 53, "127.0.0.3", 8080), set()),
        (Leading(4, "127.9.0.1", 53, "127.0.0.2", 8081), set()),
        (Leading(4, "", 53, "127.0.0.3", 8080), {"two"}),
        (Leading(4, "127.0.0.9", 54), {"other port"}),
        (Leading(4, "127.0.0.9", 53, "127.0.0.9", 53), {"straight"}),
        (Leading(6, "fd00::53", 53, "::1", 8080), {"v6"}),
    ],
)
def test_only_the_flows_that_are_meant_are_forgotten(
    conntrack: RealConntrack, leading: Leading, gone: set[str]
) -> None:
    assert left(conntrack) == set(WAYS)
    if not conntrack.forget(leading):
        gone = set()
    assert left(conntrack) == set(WAYS) - gone
