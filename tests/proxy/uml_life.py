"""The whole proxy in IPVS mode: flows of UDP, and modes one after the other. Runs as the only
program of a User-Mode Linux, and prints a line for each thing tried. Started by test_uml_life.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sampan.api import kinds
from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.config import configuration
from tests.proxy.life import (
    VIP,
    VIP6,
    Running,
    Talk,
    asked,
    endpoints,
    service,
    sh,
    until,
)

LAB = Path(__file__).parents[1] / "recorded" / "proxy"
FLOWS = {
    "cluster IP": ("pod", f"udp {VIP}:80", False),
    "node port": ("outside", "udp 192.168.77.1:30080", False),
    "external IP": ("outside", "udp 198.51.100.7:80", False),
    "cluster IP, v6": ("pod", f"udp [{VIP6}]:80", True),
}
CLIENTS = (("pod", f"tcp {VIP}:80"), ("outside", "tcp 192.168.77.1:30080"))
CIRCUIT = ("iptables", "ipvs", "iptables")
"""The kernel's nftables has neither IPv4 nor translation, in which all other modes write."""
Lines = list[str]


def flows(lab: Any) -> Lines:
    """A flow moves with its endpoint, is refused while there is none, and stays with one that
    drains.
    """
    told = []
    for name, (client, target, v6) in FLOWS.items():
        with running(lab, "ipvs") as proxy, talking(lab, client, target) as (talk, new):
            times = ", ".join(f"{1000 * one:.0f}" for one in _flow(proxy, talk, new, v6=v6))
        told.append(f"{name}: moved, refused, back after {times} ms")
    return told


def _flow(proxy: Running, talk: Talk, new: Talk, *, v6: bool) -> tuple[float, float, float]:
    """Seconds until a flow had moved, was refused, and was back."""
    external = "2001:db8:198::7" if v6 else "198.51.100.7"

    def slice_of(*names: str, leaving: tuple[str, ...] = ()) -> tuple[Any, Any]:
        return endpoints(*names, leaving=leaving, protocol="UDP", v6=v6)

    proxy.put(service(protocol="UDP", v6=v6, externalIPs=[external]), slice_of("b1"))
    proxy.start()
    talk.until("b1")
    proxy.put_in_force(slice_of("b2", leaving=("b1",)))
    drained = {talk.ask() for _ in range(5)}
    assert drained <= {"b1", "timeout"}, f"it still serves: {drained}"
    talk.until("b1")
    new.until("b2")
    proxy.put_in_force(slice_of("b2"))
    moved = talk.until("b2")
    proxy.put_in_force(slice_of())
    cut = talk.until("refused", "EHOSTUNREACH")
    proxy.put_in_force(slice_of("b3"))
    back = talk.until("b3")
    new.until("b3")
    proxy.drop(kinds.SERVICES, "web")
    talk.until_nobody()
    return moved, cut, back


@contextlib.contextmanager
def running(lab: Any, mode: str) -> Iterator[Running]:
    proxy = Running(lab, mode)
    try:
        yield proxy
    finally:
        proxy.stop()


@contextlib.contextmanager
def talking(lab: Any, client: str, target: str) -> Iterator[tuple[Talk, Talk]]:
    """Two flows of one client."""
    some = Talk(lab, client, target), Talk(lab, client, target)
    try:
        yield some
    finally:
        for one in some:
            one.close()


def modes(lab: Any) -> Lines:
    """Nothing of the old mode is left, and connections that the kernel keeps go on."""
    held: list[Any] = []
    for mode in CIRCUIT:
        with running(lab, mode) as proxy:
            proxy.put(service(), endpoints("b1"))
            proxy.start()
            until(lambda mode=mode: _there() == {mode})  # type: ignore[misc]
            for client, target in CLIENTS:
                assert asked(lab, target, client) == "b1", (mode, target)
                if mode == "iptables":
                    held.append(lab.Flow(client, target).connect())
            assert [flow.ask()[0] for flow in held] == ["b1"] * len(held), mode
    with lab.inside("rp-node"):
        kernel = real_kernel(configuration())
        asyncio.run(kernel.backends["iptables"]().cleanup())
    assert _there() == set(), _there()
    return [f"{len(held)} connections went on"]


def _there() -> set[str]:
    """Whose things there are."""
    rules = sh("iptables-save; ip6tables-save")
    found = set()
    if "KUBE-SVC-" in rules or "KUBE-SEP-" in rules:
        found.add("iptables")
    servers = sh("ipvsadm -Sn") + sh("ipset list -n | grep KUBE- || true")
    if servers.strip() or "kube-ipvs0" in sh("ip link") or "--match-set" in rules:
        found.add("ipvs")
    if not found and "KUBE-" in rules:
        found.add("chains of somebody")
    return found


TRIES: dict[str, Callable[[Any], Lines]] = {"flows": flows, "modes": modes}


def main(names: list[str]) -> None:
    sys.path.insert(0, str(LAB))
    import lab

    with lab.Lab():
        for name in names:
            begun = time.monotonic()
            try:
                told = TRIES[name](lab)
                _say(f"PASS {name} {time.monotonic() - begun:.1f}s; {'; '.join(told)}")
            except Exception:  # noqa: BLE001 - told to the test, which fails with it
                wrong = " | ".join(traceback.format_exc().splitlines()[-14:])
                _say(f"FAIL {name} {wrong}")


def _say(text: str) -> None:
    sys.stdout.write(f"uml: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
