"""The proxy's mode of a running cluster: one after the other, pods and Services go on."""

from __future__ import annotations

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e
NODE = "node1"


def inside(machine: Machine, *words: str) -> str:
    done = machine.run("ip", "netns", "exec", f"{machine.name}-{NODE}", *words, check=False)
    return done.stdout


def pids(machine: Machine, component: str) -> dict[str, int]:
    return {p["node"]: p["pid"] for p in machine.processes() if p["component"] == component}


def answers(machine: Machine) -> bool:
    page = inside(machine, "curl", "-sk", "--max-time", "2", "https://10.96.0.1/readyz")
    return "ok" in page


@pytest.mark.parametrize("mode", ["iptables", "ebpf", "userspace", "nftables"])
def test_the_mode_of_a_running_cluster_changes(cluster: Machine, mode: str) -> None:
    before = {name: pids(cluster, name) for name in ("agent", "controlplane", "launcher")}
    cluster.sampan("up", "--proxy-mode", mode)
    after = {name: pids(cluster, name) for name in before}
    assert after["agent"].keys() == before["agent"].keys()
    assert not set(after["agent"].values()) & set(before["agent"].values())
    assert after["controlplane"] == before["controlplane"]
    assert after["launcher"] == before["launcher"]
    assert eventually(
        lambda: inside(cluster, "curl", "-s", "http://127.0.0.1:10249/proxyMode")
    ) == (mode)
    assert eventually(lambda: answers(cluster))

    def left() -> bool:
        rules = inside(cluster, "nft", "list", "ruleset")
        return ("KUBE-SERVICES" in rules) != ("table ip kube-proxy" in rules) and (
            "KUBE-SERVICES" in rules
        ) == (mode == "iptables")

    assert eventually(left)
