"""Phases, conditions and container statuses, from what is wished and what is observed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.kubelet.containerstatus import Hold
from sampan.kubelet.observed import ATTEMPT, CONTAINER_HASH, CONTAINER_NAME, POD_UID, observe
from sampan.kubelet.plan import Health, plan
from sampan.kubelet.pods import container_hash
from sampan.kubelet.status import View, pod_status
from sampan.linux.base.processes import Container, ContainerState, Exit, Sandbox, SandboxState

BOX = SandboxState(Sandbox("s1", "g"), "/net", 1.0)


def pod(*names: str, policy: str = "Always", inits: list[Json] | None = None) -> Json:
    containers = [{"name": name, "image": "i"} for name in names or ("c",)]
    spec: Json = {"restartPolicy": policy, "containers": containers}
    if inits:
        spec["initContainers"] = inits
    return {"metadata": {"name": "p", "namespace": "d", "uid": "u", "generation": 2}, "spec": spec}


def run(name: str = "c", code: int | None = None, attempt: int = 0, **how: Any) -> ContainerState:
    labels = {CONTAINER_NAME: name, ATTEMPT: str(attempt), POD_UID: "u",
              CONTAINER_HASH: container_hash({"name": name, "image": "i"})}  # fmt: skip
    spec = Container(f"{name}{attempt}", "s1", ("x",), "g", labels=labels)
    return ContainerState(spec, 1, 10.0, None if code is None else Exit(code, 20.0, **how))


def status(wanted: Json, *runs: ContainerState, box: bool = True, **more: Any) -> Json:
    seen = observe([BOX] if box else [], runs, ("10.0.0.1",) if box else ())
    return pod_status(View(wanted, seen, 100.0, **more))


@pytest.mark.parametrize(
    ("policy", "runs", "terminated", "phase"),
    [
        ("Always", [], False, "Pending"),
        ("Always", [run("a")], False, "Pending"),
        ("Always", [run("a"), run("b")], False, "Running"),
        ("Always", [run("a", 1), run("b")], False, "Running"),
        ("Always", [run("a", 0), run("b", 0)], False, "Running"),
        ("Never", [run("a", 0), run("b", 0)], False, "Succeeded"),
        ("Never", [run("a", 0), run("b", 1)], False, "Failed"),
        ("Never", [run("a", 1), run("b")], False, "Running"),
        ("OnFailure", [run("a", 0), run("b", 1)], False, "Running"),
        ("OnFailure", [run("a", 0), run("b", 0)], False, "Succeeded"),
        ("Always", [run("a", 0), run("b", 137)], True, "Failed"),
        ("Always", [run("a", 0), run("b", 0)], True, "Succeeded"),
    ],
)
def test_phases(policy: str, runs: list[ContainerState], terminated: bool, phase: str) -> None:
    assert status(pod("a", "b", policy=policy), *runs, terminated=terminated)["phase"] == phase


def test_a_final_phase_stays() -> None:
    wanted = {**pod(), "status": {"phase": "Failed"}}
    assert status(wanted, run())["phase"] == "Failed"


def test_a_failure_of_the_kubelets_own_is_named() -> None:
    found = status(pod(), run(), failure=("Evicted", "no room"))
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "no room")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (run(code=0), "Completed"),
        (run(code=3), "Error"),
        (run(code=137, oom_killed=True), "OOMKilled"),
        (run(code=137, known=False), "ContainerStatusUnknown"),
        (run(code=128, message="exec: x"), "StartError"),
    ],
)
def test_how_a_container_ended(state: ContainerState, reason: str) -> None:
    found = status(pod(policy="Never"), state)["containerStatuses"][0]["state"]["terminated"]
    assert found["reason"] == reason
    assert found["containerID"] == "sampan://c0"


def test_a_hold_stands_before_an_ended_run_and_never_before_a_running_one() -> None:
    hold = {"c": Hold("CrashLoopBackOff", "back-off 10s")}
    found = status(pod(), run(code=1), holds=hold)["containerStatuses"][0]
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert found["lastState"]["terminated"]["exitCode"] == 1
    running = status(pod(), run(attempt=1), run(code=1), holds=hold)["containerStatuses"][0]
    assert "running" in running["state"]
    assert running["lastState"]["terminated"]["containerID"] == "sampan://c0"
    assert running["restartCount"] == 1


def test_a_container_that_never_ran_and_never_will() -> None:
    found = status(pod(), terminated=True)["containerStatuses"][0]["state"]["terminated"]
    assert (found["exitCode"], found["reason"]) == (137, "ContainerStatusUnknown")


def conditions(found: Json) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found["conditions"]}


def test_conditions_of_a_pod_that_is_well() -> None:
    found = conditions(status(pod(), run()))
    assert found == {
        "PodReadyToStartContainers": ("True", ""), "Initialized": ("True", ""),
        "Ready": ("True", ""), "ContainersReady": ("True", ""),
    }  # fmt: skip


def test_conditions_of_a_pod_that_is_not() -> None:
    health = Health(unready=frozenset(("c0",)))
    found = conditions(status(pod(), run(), health=health))
    assert found["Ready"] == found["ContainersReady"] == ("False", "ContainersNotReady")
    done = conditions(status(pod(policy="Never"), run(code=0)))
    assert done["Ready"] == ("False", "PodCompleted")
    failed = conditions(status(pod(policy="Never"), run(code=1)))
    assert failed["Ready"] == ("False", "PodFailed")
    early = conditions(status(pod(), box=False))
    assert early["PodReadyToStartContainers"] == ("False", "")


def test_readiness_gates_are_asked_for() -> None:
    wanted = pod()
    wanted["spec"]["readinessGates"] = [{"conditionType": "x/y"}]
    found = status(wanted, run())
    assert conditions(found)["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions(found)["ContainersReady"] == ("True", "")
    wanted["status"] = {"conditions": [{"type": "x/y", "status": "True"}]}
    found = status(wanted, run())
    assert conditions(found)["Ready"] == ("True", "")
    assert conditions(found)["x/y"] == ("True", "")


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
           {"type": "ContainersReady", "status": "False",
            "lastTransitionTime": "2020-01-01T00:00:00Z"}]  # fmt: skip
    found = status({**pod(), "status": {"conditions": old}}, run())["conditions"]
    times = {c["type"]: c["lastTransitionTime"] for c in found}
    assert times["Ready"] == "2020-01-01T00:00:00Z"
    assert times["ContainersReady"] == "1970-01-01T00:01:40Z"
    assert all(c["observedGeneration"] == 2 for c in found)


INIT = {"name": "i", "image": "i"}
SIDE = {"name": "s", "image": "i", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("inits", "runs", "phase", "initialized"),
    [
        ([INIT], [], "Pending", "False"),
        ([INIT], [run("i")], "Pending", "False"),
        ([INIT], [run("i", 0)], "Pending", "True"),
        ([INIT], [run("i", 0), run("c")], "Running", "True"),
        ([SIDE], [run("s")], "Pending", "True"),
        ([SIDE], [run("s"), run("c")], "Running", "True"),
        ([SIDE], [run("s", 1), run("c")], "Running", "False"),
    ],
)
def test_init_containers(
    inits: list[Json], runs: list[ContainerState], phase: str, initialized: str
) -> None:
    found = status(pod(inits=inits), *runs)
    assert (found["phase"], conditions(found)["Initialized"][0]) == (phase, initialized)


POLICIES = ("Always", "OnFailure", "Never")


@given(
    st.sampled_from(POLICIES),
    st.lists(st.one_of(st.none(), st.just(-1), st.integers(0, 3)), min_size=1, max_size=3),
    st.lists(st.one_of(st.none(), st.just(-1), st.integers(0, 3)), max_size=2),
)
def test_a_plan_never_contradicts_itself(
    policy: str, apps: list[int | None], inits: list[int | None]
) -> None:
    """None = has not run, -1 = runs, else its exit code."""
    names = [f"a{n}" for n in range(len(apps))]
    wanted = pod(*names, policy=policy, inits=[
        {"name": f"i{n}", "image": "i"} for n in range(len(inits))])  # fmt: skip
    rows = [*zip(names, apps, strict=True), *((f"i{n}", code) for n, code in enumerate(inits))]
    runs = [run(name, None if code == -1 else code) for name, code in rows if code is not None]
    seen = observe([BOX], runs, ("10.0.0.1",))
    step = plan(wanted, seen, Health(), lambda container, state: 0.0)
    running = {state.spec.labels[CONTAINER_NAME] for state in seen.running()}
    assert not running & set(step.start), "what runs is not started"
    assert not step.create_sandbox
    if step.done:
        assert not running & set(names), "a pod is not over while an app container runs"
    if any(name.startswith("a") for name in step.start) and all(code is None for code in apps):
        assert all(code == 0 for code in inits), "apps wait for their init containers"
    if policy == "Never":
        assert all(dict(rows)[name] is None for name in step.start), "nothing runs twice"
    without = plan(wanted, observe([], runs, ()), Health(), lambda container, state: 0.0)
    assert without.create_sandbox != without.done
