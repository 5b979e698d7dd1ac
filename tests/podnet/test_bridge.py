"""The node's bridge in a real kernel: pods come and go, and the gateway stays where it is."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from sampan.linux.real import netns
from sampan.linux.real.links import NetlinkLinks
from sampan.podnet import plan

pytestmark = pytest.mark.kernel


def mac() -> str:
    words = ["ip", "-o", "link", "show", plan.BRIDGE]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return shown.partition("link/ether ")[2].split()[0]


def test_the_gateway_keeps_its_hardware_address_whoever_comes_and_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "netns")
    netns.create(path)
    try:
        with netns.inside(path):
            with closing(NetlinkLinks()) as links:
                links.ensure(plan.bridge_link(("10.244.7.1/24",), 1450))
            own = mac()
            assert own == "0a:58:0a:f4:07:01"
            for number in range(6):
                # Lower than any other, as chance has it now and then.
                words = f"link add p{number} type veth peer name q{number}"
                subprocess.run(["ip", *words.split()], check=True)
                low = f"02:00:00:00:00:0{6 - number}"
                low = f"link set p{number} address {low} master {plan.BRIDGE} up"
                subprocess.run(["ip", *low.split()], check=True)
                assert mac() == own
            for number in range(6):
                subprocess.run(["ip", "link", "del", f"p{number}"], check=True)
                assert mac() == own
    finally:
        netns.remove(path)
