"""The whole proxy on a real kernel: faults, changes under load, restarts."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.linux.base.nft_text import parse
from sampan.linux.real.iptables import generation
from tests.proxy.life import Running

pytestmark = pytest.mark.kernel
VIP = "10.96.0.1"


def nft(command: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", "rp-node", "nft", *command.split()],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def service(**spec: Any) -> tuple[Any, Json]:
    ports = [{"port": 80, "protocol": "TCP"}]
    return kinds.SERVICES, {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIPs": [VIP], "ports": ports, **spec},
    }


def endpoints(*names: str, protocol: str = "TCP") -> tuple[Any, Json]:
    ips = {"b1": "10.244.1.11", "b2": "10.244.1.12", "b3": "10.244.1.13", "r1": "10.244.2.11"}
    return kinds.ENDPOINTSLICES, {
        "metadata": {
            "name": "web-a",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ips[name]], "nodeName": "n1"} for name in names],
        "ports": [{"name": "", "port": 8080, "protocol": protocol}],
    }


def asked(lab: ModuleType, target: str = f"tcp {VIP}:80", client: str = "pod") -> str:
    """Who answers, or the word for why nobody does."""
    flow = lab.Flow(client, target, timeout=0.4)
    try:
        name: str = flow.connect().ask()[0]
        return name
    except OSError as error:
        return str(lab.why(error))
    finally:
        flow.close()


def until(wanted: str, ask: Callable[[], str], patience_s: float = 5) -> float:
    """Seconds until the answer is as wanted."""
    begun = time.monotonic()
    while True:
        found = ask()
        if found == wanted:
            return time.monotonic() - begun
        assert time.monotonic() - begun < patience_s, found


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_a_flush_is_repaired_and_open_connections_go_on(
    mode: str, lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run(mode)
    proxy.put(service(), endpoints("b1"))
    proxy.start()
    until("b1", lambda: asked(lab))
    held = lab.Flow("pod", f"tcp {VIP}:80").connect()
    assert held.ask()[0] == "b1"
    nft("flush ruleset")
    assert until("b1", lambda: asked(lab)) < 3
    assert held.ask()[0] == "b1"
    held.close()


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_a_udp_flow_moves_with_its_endpoint_and_is_cut_when_there_is_none(
    mode: str, lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run(mode)
    proxy.put(service(ports=[{"port": 80, "protocol": "UDP"}]), endpoints("b1", protocol="UDP"))
    proxy.start()
    flow = lab.Flow("pod", f"udp {VIP}:80", timeout=0.1)
    flow.connect()

    def ask() -> str:
        try:
            return str(flow.ask()[0])
        except OSError as error:
            return str(lab.why(error))

    until("b1", ask)
    proxy.put(endpoints("b2", protocol="UDP"))
    assert until("b2", ask) < 1
    proxy.put(endpoints(protocol="UDP"))
    assert until("refused", ask) < 1
    proxy.put(endpoints("b3", protocol="UDP"))
    assert until("b3", ask) < 1
    flow.close()


def test_a_client_is_forgotten_after_the_affinity_time_and_not_before(
    lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run("nftables")
    kept = {"clientIP": {"timeoutSeconds": 2}}
    proxy.put(
        service(sessionAffinity="ClientIP", sessionAffinityConfig=kept),
        endpoints("b1", "b2", "b3"),
    )
    proxy.start()
    first = asked(lab)
    for _ in range(3):
        # Each use makes it last longer: the pauses together exceed the time.
        time.sleep(1.2)
        assert asked(lab) == first
    remembered = [line for line in nft("list ruleset").splitlines() if "10.244.1.10" in line]
    assert remembered
    time.sleep(2.5)
    assert "10.244.1.10" not in nft("list ruleset")


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_endpoints_that_come_and_go_cost_no_connection(
    mode: str, lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run(mode)
    proxy.put(service(), endpoints("b1", "b2"))
    proxy.start()
    until("b1", lambda: asked(lab))
    failures: list[str] = []
    done = threading.Event()

    def connect() -> None:
        while not done.is_set():
            name = asked(lab)
            if name not in ("b1", "b2", "b3"):
                failures.append(name)

    clients = [threading.Thread(target=connect) for _ in range(2)]
    for client in clients:
        client.start()
    rounds = [("b1", "b2"), ("b2", "b3"), ("b3",), ("b1", "b2", "b3"), ("b1",)]
    for turn in range(60 if mode == "nftables" else 15):
        proxy.put(endpoints(*rounds[turn % len(rounds)]))
        time.sleep(0.02)
    done.set()
    for client in clients:
        client.join()
    assert failures == []


def test_a_restart_with_nothing_changed_writes_nothing(
    lab: ModuleType, run: Callable[[str], Running]
) -> None:
    objects = [service(type="NodePort"), endpoints("b1", "b2")]
    first = run("nftables")
    first.put(*objects)
    first.start()
    until("b1", lambda: asked(lab))
    first.stop()
    with lab.inside("rp-node"):
        before = generation()
    second = run("nftables")
    second.put(*objects)
    second.start()
    with lab.inside("rp-node"):
        assert generation() == before
    second.put(endpoints("b3"))
    until("b3", lambda: asked(lab))


def test_switching_modes_leaves_nothing_of_the_old_one(
    lab: ModuleType, run: Callable[[str], Running]
) -> None:
    held = None
    for mode in ("nftables", "iptables", "nftables"):
        proxy = run(mode)
        proxy.put(service(), endpoints("b1"))
        proxy.start()
        until("b1", lambda: asked(lab))
        held = held or lab.Flow("pod", f"tcp {VIP}:80").connect()
        assert held.ask()[0] == "b1"

        def leftovers(mode: str = mode) -> str:
            ours = {"nftables": "KUBE-", "iptables": "table ip kube-proxy"}[mode]
            return "some" if ours in nft("list ruleset") else "none"

        until("none", leftovers)
        proxy.stop()
    held.close()


def test_what_was_loaded_raw_is_what_nft_prints(
    lab: ModuleType, run: Callable[[str], Running]
) -> None:
    proxy = run("nftables")
    proxy.put(
        service(type="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30080}]),
        endpoints("b1", "b2"),
    )
    proxy.start()
    until("b1", lambda: asked(lab))
    listed = parse(nft("-s list table ip kube-proxy"))[0]
    words = {name: len(some) for name, some in listed.elements.items()}
    assert words == {
        "cluster-ips": 1,
        "nodeports": 1,
        "nodeport-ips": 1,
        "hairpin-connections": 2,
        "endpoints-2": 2,
        "nodeport-endpoints-2": 2,
    }
