"""Host ports, in a namespace of the test's own."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.linux.real.netns import inside
from sampan.podnet.hostports import Mapping, NodeHostPorts, mappings, table


@dataclass(frozen=True)
class Port:
    port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True)
class Ports:
    host_ports: tuple[Port, ...]


def test_a_port_leads_to_the_address_of_its_family() -> None:
    ips = ("10.244.1.2", "fd00::2")
    assert mappings(ips, [Port(80, 8080)]) == [
        Mapping("", "tcp", 80, "10.244.1.2", 8080), Mapping("", "tcp", 80, "fd00::2", 8080),
    ]  # fmt: skip
    assert mappings(ips, [Port(53, 53, "UDP", "192.0.2.1")]) == [
        Mapping("192.0.2.1", "udp", 53, "10.244.1.2", 53)
    ]


def test_nothing_wanted_is_no_table() -> None:
    assert "chain" not in table("ip", [])


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"smp-hp-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.kernel
async def test_the_kernel_takes_the_table_and_a_new_agent_makes_it_again(
    namespace: str, tmp_path: Path
) -> None:
    from sampan.linux.real.nft import RealNft

    def rules(*, flush: bool = False) -> str:
        words = ["flush", "ruleset"] if flush else ["list", "ruleset"]
        return subprocess.run(
            ["ip", "netns", "exec", namespace, "nft", *words],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    with inside(f"/run/netns/{namespace}"):
        nft = RealNft()
        ports = NodeHostPorts(nft, tmp_path)
        await ports.publish("a", ("10.244.1.2", "fd00::2"), Ports((Port(80, 8080),)))
        await ports.publish("b", ("10.244.1.3",), Ports((Port(53, 53, "UDP", "192.0.2.1"),)))
    text = rules()
    assert "tcp . 80 : 10.244.1.2 . 8080" in text
    assert "tcp . 80 : fd00::2 . 8080" in text
    assert "192.0.2.1 . udp . 53 : 10.244.1.3 . 53" in text
    rules(flush=True)
    with inside(f"/run/netns/{namespace}"):
        again = NodeHostPorts(nft, tmp_path)
        assert rules() == text
        await again.withdraw("a")
        await again.withdraw("b")
        await again.withdraw("nobody")
    nft.close()
    assert "map" not in rules()
