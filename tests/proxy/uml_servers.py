"""Virtual servers on a real ip_vs: schedulers, persistence, drains, sets, a constant number of
rules; and SCTP. Runs as the only program of a User-Mode Linux, and prints
a line for each thing tried. Started by test_uml_servers.py.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.backends.ipvs.render import SCHEDULERS, state, together
from sampan.proxy.config import configuration
from sampan.proxy.offline import Planned, planned
from tests.proxy.case_folders import CLUSTER_CIDR

LAB = Path(__file__).parents[1] / "recorded" / "proxy"
SCTP = 132
VIP = "10.96.0.1:80"
BASE = """
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.77.1}]}
"""


def plan(objects: str, **config: Any) -> Planned:
    made = list(yaml.safe_load_all(BASE + "---" + objects))
    whole = configuration({"clusterCIDR": CLUSTER_CIDR, "mode": "ipvs"}, config)
    return planned(made, whole, "n1")


def web(
    *ends: str, name: str = "web", vip: str = "10.96.0.1", protocol: str = "TCP", **spec: Any
) -> str:
    service = {
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIPs": [vip], "ports": [{"port": 80, "protocol": protocol}], **spec},
    }
    slice_ = {
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "nodeName": "n1"} for ip in ends],
        "ports": [{"name": "", "port": 8080, "protocol": protocol}],
    }
    return "\n" + yaml.safe_dump_all([service, slice_])


ONE, TWO = "10.244.1.11", "10.244.1.12"
THREE = "10.244.1.13"
"""Only for what drains: what closed connections leave behind would be counted, too."""


class Tries:
    """What is tried, in the node's namespace."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self._backends: dict[str, Any] = {}

    def backend(self, mode: str, **ipvs: Any) -> Any:
        key = f"{mode} {ipvs}"
        if key not in self._backends:
            kernel = real_kernel(configuration({"mode": mode, "ipvs": ipvs}))
            self._backends[key] = kernel.backends[mode]()
        return self._backends[key]

    def put(self, made: Planned, mode: str = "ipvs", **ipvs: Any) -> Any:
        with self.lab.inside("rp-node"):
            backend = self.backend(mode, **ipvs)
            backend.configure(made.settings)
            asyncio.run(backend.resync(made.model))
            return backend

    def change(self, backend: Any, old: Planned, new: Planned) -> None:
        with self.lab.inside("rp-node"):
            ops = [
                backend.render(key, old.model.get(key), new.model.get(key))
                for key in {**old.model, **new.model}
                if old.model.get(key) != new.model.get(key)
            ]
            asyncio.run(backend.load(ops))

    def sh(self, command: str) -> str:
        with self.lab.inside("rp-node"):
            out: str = self.lab.sh(command)
            return out

    def answers(self, target: str, times: int, client: str = "pod") -> list[str]:
        found = []
        for _ in range(times):
            flow = self.lab.Flow(client, target)
            try:
                found.append(flow.connect().ask()[0])
            finally:
                flow.close()
        return found

    # What is tried.

    def schedulers(self) -> None:
        """All of them take traffic; those that promise something keep it."""
        for scheduler in SCHEDULERS:
            self.put(plan(web(ONE, TWO)), scheduler=scheduler)
            listed = self.sh("ipvsadm -Sn")
            assert f"-A -t {VIP} -s {scheduler}\n" in listed, listed
            seen = self.answers(f"tcp {VIP}", 6)
            assert set(seen) <= {"b1", "b2"}, seen
            if scheduler in ("rr", "wrr"):
                assert seen in (["b1", "b2"] * 3, ["b2", "b1"] * 3), (scheduler, seen)
            if scheduler in ("sh", "dh", "lblc", "lblcr"):
                assert len(set(seen)) == 1, (scheduler, seen)

    def persistence(self) -> None:
        affine = {"sessionAffinity": "ClientIP"}
        config = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 77}}}
        self.put(plan(web(ONE, TWO, type="ClusterIP", **affine, **config)))
        assert f"-A -t {VIP} -s rr -p 77\n" in self.sh("ipvsadm -Sn")
        assert len(set(self.answers(f"tcp {VIP}", 6))) == 1
        self.put(plan(web(ONE, TWO)))
        assert f"-A -t {VIP} -s rr\n" in self.sh("ipvsadm -Sn"), "persistence stayed"

    def drain(self) -> None:
        """An endpoint that goes keeps its connections at weight 0 until they have ended."""
        both = plan(web(THREE, TWO))
        backend = self.put(both)
        flows = [self.lab.Flow("pod", f"tcp {VIP}").connect() for _ in range(4)]
        flow = next(one for one in flows if one.ask()[0] == "b3")
        self.change(backend, both, plan(web(TWO)))
        assert f"-a -t {VIP} -r {THREE}:8080 -m -w 0\n" in self.sh("ipvsadm -Sn")
        assert flow.ask()[0] == "b3", "an open connection was cut off"
        assert set(self.answers(f"tcp {VIP}", 4)) == {"b2"}
        with self.lab.inside("rp-node"):
            backend._sweep()
        assert flow.ask()[0] == "b3", "a sweep cut off an open connection"
        for one in flows:
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        # A connection that was reset is forgotten after ten seconds.
        deadline = time.monotonic() + 30
        while f"-r {THREE}:8080" in self.sh("ipvsadm -Sn"):
            assert time.monotonic() < deadline, "the drained endpoint stayed"
            time.sleep(0.5)
            with self.lab.inside("rp-node"):
                backend._sweep()

    def datagrams(self) -> None:
        """A UDP endpoint goes at once."""
        both = plan(web(ONE, TWO, protocol="UDP"))
        backend = self.put(both)
        assert set(self.answers(f"udp {VIP}", 8)) == {"b1", "b2"}
        self.change(backend, both, plan(web(TWO, protocol="UDP")))
        assert f"-r {ONE}:8080" not in self.sh("ipvsadm -Sn")
        assert set(self.answers(f"udp {VIP}", 4)) == {"b2"}

    def rules(self) -> None:
        """Their number does not depend on Services; the sets hold what the model says."""
        counts, many = [], ""
        for number in range(1, 31):
            many += "---" + web(ONE, name=f"web-{number}", vip=f"10.96.0.{number}", type="NodePort")
            if number in (1, 30):
                made = plan(many[3:])
                self.put(made)
                counts.append(self.sh("iptables-save | grep -c ^-A").strip())
        assert counts[0] == counts[1], counts
        whole = together(state(one, made.settings, "rr") for one in made.model.values())
        saved = self.sh("ipset save").splitlines()
        held = {tuple(line.split()[1:3]) for line in saved if line.startswith("add ")}
        assert held == whole.entries, held ^ whole.entries
        addresses = self.sh("ip -o addr show dev kube-ipvs0")
        assert addresses.count("inet ") == 30, addresses

    def sctp(self) -> None:
        """The same packets by SCTP, in the modes whose rules this kernel can hold."""
        name = b"b1"
        with self.lab.inside("rp-b1"):
            # This kernel comes without the hashes for signed cookies.
            Path("/proc/sys/net/sctp/cookie_hmac_alg").write_text("none")
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP)
        listener.bind(("10.244.1.11", 8080))
        listener.listen(8)

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                connection.send(name)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        ports = [{"port": 80, "protocol": "SCTP", "nodePort": 30080}]
        served = web(ONE, protocol="SCTP", type="NodePort", ports=ports)
        for mode in ("ipvs", "iptables"):
            self.put(plan(served, mode=mode), mode)
            for client, where in (("rp-c", ("10.96.0.1", 80)), ("rp-out", ("192.168.77.1", 30080))):
                with self.lab.inside(client):
                    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP)
                sock.settimeout(5)
                try:
                    sock.connect(where)
                    assert sock.recv(10) == name, (mode, where)
                except OSError as error:
                    raise AssertionError(f"{mode} {client} {where}: {error}") from error
                finally:
                    sock.close()
            with self.lab.inside("rp-node"):
                asyncio.run(self.backend(mode).cleanup())


def main(names: list[str]) -> None:
    sys.path.insert(0, str(LAB))
    import lab

    with lab.Lab():
        tries = Tries(lab)
        for name in names:
            work: Callable[[], None] = getattr(tries, name)
            begun = time.monotonic()
            try:
                work()
                wrong = ""
            except Exception:  # noqa: BLE001 - told to the test, which fails with it
                wrong = " | ".join(traceback.format_exc().splitlines()[-4:])
            took = time.monotonic() - begun
            _say(f"FAIL {name} {wrong}" if wrong else f"PASS {name} {took:.1f}s")


def _say(text: str) -> None:
    sys.stdout.write(f"uml: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
