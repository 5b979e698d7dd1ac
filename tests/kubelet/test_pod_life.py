"""Pods from the API to their end, through a whole kubelet over fakes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sampan.api import kinds
from sampan.testing.clock import run_jumping
from tests.kubelet.bench import Bench, app, until


def play(folder: Path, story: Any, **more: Any) -> Bench:
    """Run one story on a jumping clock."""
    made: list[Bench] = []

    async def main() -> None:
        bench = Bench(folder, **more)
        made.append(bench)
        async with bench.running():
            await story(bench)

    run_jumping(main())
    return made[0]


def test_a_pod_runs_and_is_ready_with_its_address(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")
        status = bench.status()
        assert status["phase"] == "Running"
        assert status["podIP"] == "10.244.0.2"
        assert status["podIPs"] == [{"ip": "10.244.0.2"}]
        assert status["hostIP"] == "192.168.0.1"
        state = bench.container()
        assert state["ready"]
        assert state["started"]
        assert state["restartCount"] == 0
        assert state["containerID"] == f"sampan://{bench.running_id()}"
        assert [c["type"] for c in status["conditions"]][:4] == [
            "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
        ]  # fmt: skip

    bench = play(tmp_path, story)
    assert bench.api.all(kinds.NODES)[0]["status"]["conditions"][-1]["type"] == "Ready"
    assert bench.api.all(kinds.LEASES)[0]["spec"]["holderIdentity"] == "n1"


def test_a_deleted_pod_is_stopped_and_leaves_the_api_and_the_node(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")
        bench.mark_deleted()
        await until(lambda: not bench.exists())
        await until(lambda: not bench.kubelet.workers)

    bench = play(tmp_path, story)
    assert bench.runtime.signals[0][1] == 15
    assert bench.runtime.containers == {}
    assert bench.runtime.sandboxes == {}
    assert bench.network.attached == {}
    assert list((tmp_path / "root" / "pods").iterdir()) == []
    assert "Killing: Stopping container c" in bench.events()


def test_a_container_that_ignores_the_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("c", "sleep", "1000"))
        await until(lambda: bench.condition("Ready") == "True")
        begun = bench.clock.monotonic()
        bench.mark_deleted(grace=7)
        await until(lambda: not bench.exists())
        assert 7 <= bench.clock.monotonic() - begun < 9

    bench = play(tmp_path, story)
    assert [number for _, number in bench.runtime.signals] == [15, 9]


def test_a_crashing_container_backs_off_and_says_so(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("c", "false"))
        await until(lambda: bench.container()["restartCount"] == 1)
        await until(lambda: "waiting" in bench.container()["state"])
        state = bench.container()
        assert state["state"]["waiting"] == {
            "reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container=c pod=p_default(uid-p)",
        }
        assert state["lastState"]["terminated"]["reason"] == "Error"
        assert state["lastState"]["terminated"]["exitCode"] == 1
        assert bench.status()["phase"] == "Running"
        begun = bench.clock.monotonic()
        await until(lambda: bench.container()["restartCount"] == 4)
        assert 65 < bench.clock.monotonic() - begun < 80  # 10 + 20 + 40

    bench = play(tmp_path, story)
    assert (
        "BackOff: Back-off restarting failed container c in pod p_default(uid-p)" in bench.events()
    )
    assert len(bench.runtime.containers) == 2


@pytest.mark.parametrize(("word", "phase"), [("true", "Succeeded"), ("false", "Failed")])
def test_a_pod_that_is_not_restarted_ends(tmp_path: Path, word: str, phase: str) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("c", word), restartPolicy="Never")
        await until(lambda: bench.status()["phase"] == phase)
        await until(lambda: bench.runtime.sandboxes == {})
        assert "terminated" in bench.container()["state"]
        assert bench.condition("Ready") == "False"

    play(tmp_path, story)


def test_on_failure_restarts_only_failures(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("a", "true"), app("b", "serve"), restartPolicy="OnFailure")
        await until(lambda: bench.container(index=1).get("ready"))
        assert bench.container()["state"]["terminated"]["reason"] == "Completed"
        bench.runtime.finish(bench.running_id("b"), 3)
        await until(lambda: bench.container(index=1)["restartCount"] == 1)
        bench.runtime.finish(bench.running_id("b"), 0)
        await until(lambda: bench.status()["phase"] == "Succeeded")
        assert bench.container()["restartCount"] == 0

    play(tmp_path, story)


def test_init_containers_run_in_order_before_the_others(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        inits = [app("i1", "serve"), app("i2", "true")]
        bench.pod("p", app(), initContainers=inits)
        await until(lambda: bench.status()["initContainerStatuses"][0]["state"].get("running"))
        status = bench.status()
        assert status["phase"] == "Pending"
        assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
        condition = next(c for c in status["conditions"] if c["type"] == "Initialized")
        assert condition["message"] == "containers with incomplete status: [i1 i2]"
        bench.runtime.finish(bench.running_id("i1"), 0)
        await until(lambda: bench.condition("Ready") == "True")
        assert bench.condition("Initialized") == "True"

    play(tmp_path, story)


def test_a_failing_init_container_fails_a_pod_that_never_restarts(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app(), initContainers=[app("i", "false")], restartPolicy="Never")
        await until(lambda: bench.status()["phase"] == "Failed")
        assert len(bench.runtime.containers) == 1

    play(tmp_path, story)


def test_sidecars_start_first_and_stop_last(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        sidecar = app("side", "serve", restartPolicy="Always")
        bench.pod("p", app("c", "serve"), initContainers=[sidecar], restartPolicy="Never")
        await until(lambda: bench.condition("Ready") == "True")
        side = bench.running_id("side")
        bench.runtime.finish(side, 1)
        await until(lambda: bench.status()["initContainerStatuses"][0]["restartCount"] == 1)
        bench.runtime.finish(bench.running_id("c"), 0)
        await until(lambda: bench.status()["phase"] == "Succeeded")

    bench = play(tmp_path, story)
    assert len(bench.runtime.signals) == 1


def test_a_changed_image_restarts_only_that_container(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("a"), app("b"))
        await until(lambda: bench.condition("Ready") == "True")
        kept = bench.running_id("b")
        pod = bench.get()
        pod["spec"]["containers"][0]["image"] = "localhost/host:2"
        bench.api.put(kinds.PODS, pod)
        await until(lambda: bench.container()["restartCount"] == 1)
        assert bench.running_id("b") == kept

    bench = play(tmp_path, story)
    assert "Killing: Container a definition changed, will be restarted" in bench.events()


def test_an_image_that_is_not_to_be_had(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app(image="nginx"))
        await until(lambda: bench.waiting() == "ErrImagePull")
        await until(lambda: bench.waiting() == "ImagePullBackOff")
        assert bench.status()["phase"] == "Pending"
        assert bench.container()["state"]["waiting"]["message"].startswith(
            'Back-off pulling image "nginx": ErrImagePull: '
        )
        await asyncio.sleep(120)

    bench = play(tmp_path, story)
    assert 'Pulling: Pulling image "nginx"' in bench.events()
    assert "Failed: Error: ErrImagePull" in bench.events()
    assert 'BackOff: Back-off pulling image "nginx"' in bench.events()


def test_pull_policy_never_and_a_bad_name(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("a", app(image="nginx", imagePullPolicy="Never"))
        bench.pod("b", app(image="NGINX::"))
        await until(
            lambda: bench.container("a")["state"]["waiting"]["reason"] == "ErrImageNeverPull"
        )
        await until(
            lambda: bench.container("b")["state"]["waiting"]["reason"] == "InvalidImageName"
        )

    play(tmp_path, story)


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app("c", "nosuch"))
        await until(lambda: bench.waiting() == "RunContainerError")
        await until(lambda: bench.waiting() == "CrashLoopBackOff")
        last = bench.container()["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (128, "StartError")

    play(tmp_path, story)


def test_the_active_deadline_ends_a_pod(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod(activeDeadlineSeconds=60)
        await until(lambda: bench.status()["phase"] == "Failed")
        assert bench.status()["reason"] == "DeadlineExceeded"

    play(tmp_path, story)


def test_a_kubelet_that_comes_back_touches_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        async with bench.running():
            bench.pod("p", app("a"), app("b"))
            await until(lambda: bench.condition("Ready") == "True")
        before, status = dict(bench.runtime.containers), bench.status()
        bench.kubelet = bench.make()
        async with bench.running():
            await until(lambda: bench.kubelet.workers)
            await asyncio.sleep(300)
            assert bench.runtime.containers == before
            assert bench.status() == status
            bench.runtime.finish(bench.running_id("a"), 1)
            await until(lambda: bench.container()["restartCount"] == 1)

    run_jumping(main())


def test_a_pod_deleted_while_no_kubelet_ran_is_removed(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        async with bench.running():
            bench.pod()
            await until(lambda: bench.condition("Ready") == "True")
        bench.api.drop(kinds.PODS, "p", "default")
        bench.kubelet = bench.make()
        async with bench.running():
            await until(lambda: not bench.runtime.sandboxes)
        assert bench.runtime.containers == {}

    run_jumping(main())


def test_after_a_reboot_pods_run_again_and_go_on_counting(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        async with bench.running():
            bench.pod()
            await until(lambda: bench.condition("Ready") == "True")
        bench.runtime.vanish()
        bench.kubelet = bench.make()
        async with bench.running():
            await until(lambda: bench.container()["restartCount"] == 1)
            assert (
                bench.container()["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
            )
            await until(lambda: bench.condition("Ready") == "True")
        bench.runtime.containers.clear()
        bench.runtime.sandboxes.clear()
        bench.kubelet = bench.make()
        async with bench.running():
            await until(lambda: bench.container()["restartCount"] == 2)

    run_jumping(main())


def test_a_network_that_is_not_ready_is_asked_again(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.network.failures.append(OSError("no podCIDR yet"))
        bench.pod()
        await until(lambda: bench.condition("Ready") == "True")

    bench = play(tmp_path, story)
    assert "FailedCreatePodSandBox: Failed to create pod sandbox: no podCIDR yet" in bench.events()


def test_a_pod_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.pod("p", app(resources={"requests": {"cpu": "64"}}))
        await until(lambda: bench.status()["phase"] == "Failed")
        assert bench.status()["reason"] == "OutOfcpu"
        assert bench.status()["message"] == (
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 64000, used: 0, "
            "capacity: 4000"
        )

    play(tmp_path, story)


def test_a_pod_that_waits_for_something_can_be_deleted(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        never = {"exec": {"command": ["sleep", "100000"]}}
        bench.pod("a", app(lifecycle={"postStart": never}))
        await until(lambda: bench.runtime.containers)
        bench.network.stuck = True
        bench.pod("b")
        await until(lambda: len(bench.runtime.sandboxes) == 2)
        begun = bench.clock.monotonic()
        bench.mark_deleted("a")
        bench.mark_deleted("b")
        await until(lambda: not bench.exists("a") and not bench.exists("b"))
        assert bench.clock.monotonic() - begun < 5

    bench = play(tmp_path, story)
    assert bench.runtime.containers == {}
    assert bench.runtime.sandboxes == {}


def test_a_network_that_gives_no_address_is_named(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.network.stuck = True
        bench.pod()
        await asyncio.sleep(70)
        bench.network.stuck = False
        await until(lambda: bench.condition("Ready") == "True")

    bench = play(tmp_path, story)
    assert any("no address within 60 s" in event for event in bench.events())
