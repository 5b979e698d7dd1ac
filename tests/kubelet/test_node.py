"""The node: its object, its heartbeat, and who may run on it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.errors import NotFound, ServiceUnavailable
from sampan.api.meta import Json
from sampan.kubelet.admission import refusal
from sampan.kubelet.crashloop import CrashLoops
from sampan.kubelet.rates import Rates
from sampan.kubelet.statuswriter import difference
from sampan.linux.fake.machine import FakeMachine
from sampan.std.http import Request
from tests.kubelet.bench import Bench, app, until
from tests.kubelet.test_pod_life import play


def node(bench: Bench) -> Json:
    found: Json = bench.api.all(kinds.NODES)[0]
    return found


def test_the_node_tells_what_it_is(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        status = node(bench)["status"]
        assert status["capacity"]["cpu"] == "4"
        assert status["capacity"]["memory"] == "8388608Ki"
        assert status["allocatable"]["pods"] == "110"
        assert status["addresses"] == [
            {"address": "192.168.0.1", "type": "InternalIP"},
            {"address": "n1", "type": "Hostname"},
        ]
        assert status["nodeInfo"]["kubeletVersion"].startswith("v1.36.")
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("sampan://")
        conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
        assert conditions["Ready"] == ("True", "KubeletReady")
        assert conditions["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
        assert node(bench)["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"

    play(tmp_path, story)


def test_an_unchanged_status_is_said_rarely_and_the_lease_often(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        found = node(bench)
        del found["status"]["images"]  # a server leaves empty lists out
        first = bench.api.put(kinds.NODES, found)["metadata"]["resourceVersion"]
        lease = bench.api.all(kinds.LEASES)[0]["spec"]["renewTime"]
        await asyncio.sleep(120)
        assert node(bench)["metadata"]["resourceVersion"] == first
        assert bench.api.all(kinds.LEASES)[0]["spec"]["renewTime"] > lease
        await asyncio.sleep(300)
        assert node(bench)["metadata"]["resourceVersion"] != first

    play(tmp_path, story)


def test_pressure_is_told_within_seconds(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        machine = bench.kubelet.reporter.machine
        assert isinstance(machine, FakeMachine)
        machine.now = replace(machine.now, memory_available=1 << 20)
        await asyncio.sleep(11)
        conditions = {c["type"]: c["status"] for c in node(bench)["status"]["conditions"]}
        assert conditions["MemoryPressure"] == "True"

    play(tmp_path, story)


def test_a_node_that_is_there_is_taken_over(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        labels = node(bench)["metadata"]["labels"]
        assert labels["mine"] == "kept"
        assert labels["kubernetes.io/os"] == "linux"
        assert node(bench)["status"]["capacity"]["cpu"] == "4"

    async def main() -> None:
        bench = Bench(tmp_path)
        bench.api.put(kinds.NODES, {"metadata": {"name": "n1", "labels": {"mine": "kept"}}})
        async with bench.running():
            await story(bench)

    from sampan.testing.clock import run_jumping

    run_jumping(main())


def test_an_api_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")
        bench.api.fail = lambda request: ServiceUnavailable("away")
        container = bench.running_id()
        bench.runtime.finish(container, 1)
        await asyncio.sleep(60)
        assert bench.running_id() != container, "pods are restarted without the API"
        bench.api.fail = lambda request: None
        await until(lambda: bench.container()["restartCount"] == 1)

    play(tmp_path, story)


def test_a_status_for_a_pod_that_is_gone_is_dropped(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")

        def refuse(request: Request) -> NotFound | None:
            return NotFound("gone") if request.method == "PATCH" else None

        bench.api.fail = refuse
        bench.runtime.finish(bench.running_id(), 1)
        await asyncio.sleep(30)
        patches = sum(request.method == "PATCH" for request in bench.api.requests)
        await asyncio.sleep(30)
        assert sum(request.method == "PATCH" for request in bench.api.requests) <= patches + 3

    play(tmp_path, story)


ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "3"}


def pod(name: str = "p", container: dict[str, Any] | None = None, **spec: Any) -> Json:
    containers = [{"name": "c", "image": "x", **(container or {})}]
    return {"metadata": {"name": name, "namespace": "d", "uid": name},
            "spec": {"containers": containers, **spec}}  # fmt: skip


def asks(**amounts: str) -> dict[str, Any]:
    return {"resources": {"requests": amounts}}


PORT = {"ports": [{"containerPort": 80, "hostPort": 8080}]}
OTHER_IP = {"ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1"}]}
UDP = {"ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]}


@pytest.mark.parametrize(
    ("wanted", "others", "reason"),
    [
        (pod(), [], None),
        (pod(container=asks(cpu="2")), [], None),
        (pod(container=asks(cpu="1500m")), [pod("o", asks(cpu="600m"))], "OutOfcpu"),
        (pod(container=asks(memory="2Gi")), [], "OutOfmemory"),
        (pod(), [pod(str(n)) for n in range(3)], "OutOfpods"),
        (pod(container=PORT), [pod("o", PORT)], "NodePorts"),
        (pod(container=PORT), [pod("o", OTHER_IP)], "NodePorts"),
        (pod(container=PORT), [pod("o", UDP)], None),
        (pod(nodeSelector={"disk": "ssd"}), [], "NodeAffinity"),
        (pod(nodeSelector={"zone": "a"}), [], None),
        (pod(os={"name": "windows"}), [], "PodOSNotSupported"),
    ],
)
def test_what_may_run_here(wanted: Json, others: list[Json], reason: str | None) -> None:
    here = {"metadata": {"labels": {"zone": "a"}}}
    found = refusal(wanted, others, here, ALLOCATABLE)
    assert (found[0] if found else None) == reason


def test_finished_pods_take_no_room() -> None:
    done = {**pod("o", asks(cpu="2")), "status": {"phase": "Succeeded"}}
    assert refusal(pod(container=asks(cpu="2")), [done], {}, ALLOCATABLE) is None


def test_back_off_doubles_and_is_forgotten() -> None:
    loops, key = CrashLoops(), ("u", "c")
    now, waits = 1000.0, []
    for _ in range(8):
        waits.append(loops.remaining_s(key, now, now))
        now += waits[-1]
        loops.tried(key, now - waits[-1], now)
        now += 1
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    assert loops.remaining_s(key, now + 700, now + 700) == 0
    loops.forget(("u",))
    assert loops.remaining_s(key, now, now) == 0


def test_rates_need_two_readings() -> None:
    rates = Rates()
    assert rates.per_second("a", 1000, 10.0) == 0
    assert rates.per_second("a", 3000, 20.0) == 200
    assert rates.per_second("a", 9000, 21.0) == 200, "too soon for another"
    assert rates.per_second("a", 4000, 30.0) == 100


def test_only_differences_are_sent() -> None:
    ready = {"type": "Ready", "status": "True", "lastProbeTime": None}
    other = {"type": "Other", "status": "False"}
    old = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "True"}],
           "podIPs": [{"ip": "1"}], "hostIP": "9"}  # fmt: skip
    assert difference(old, {**old, "conditions": [ready, other]}) == {}
    new = {**old, "phase": "Running", "podIPs": [{"ip": "2"}]}
    assert difference(old, new) == {
        "phase": "Running",
        "podIPs": [{"ip": "2"}, {"$patch": "replace"}],
    }
    changed = {"type": "Ready", "status": "False"}
    assert difference(old, {**old, "conditions": [changed]}) == {"conditions": [changed]}


def test_host_ports_are_published_and_withdrawn(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app(ports=[{"containerPort": 80, "hostPort": 8080}]))
        await until(lambda: bench.condition("Ready") == "True")
        (ports,) = bench.network.ports.values()
        assert (ports[0].port, ports[0].container_port, ports[0].protocol) == (8080, 80, "TCP")
        bench.mark_deleted()
        await until(lambda: not bench.exists())
        assert bench.network.ports == {}

    play(tmp_path, story)


def test_ephemeral_containers_are_started_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")
        found = bench.get()
        found["spec"]["ephemeralContainers"] = [app("debug", "true")]
        bench.api.put(kinds.PODS, found)
        await until(
            lambda: "terminated" in bench.status()["ephemeralContainerStatuses"][0]["state"]
        )
        await asyncio.sleep(60)
        assert bench.status()["ephemeralContainerStatuses"][0]["restartCount"] == 0
        assert bench.condition("Ready") == "True"

    play(tmp_path, story)
