"""up, down, delete, and bad days: what a cluster's life leaves and keeps."""

import json
import os
from pathlib import Path

import pytest
from machine import Machine, cgroups, eventually

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).parents[2] / "examples" / "01-service" / "client.yaml"


def namespaces(machine: Machine) -> str:
    return machine.run("ip", "netns").stdout.strip()


def mounts(machine: Machine) -> list[str]:
    text = machine.run("cat", "/proc/self/mountinfo").stdout
    return [line.split()[4] for line in text.splitlines() if str(machine.root) in line]


def nodes(machine: Machine) -> list[tuple[str, str]]:
    rows = machine.sampan("get", "nodes").stdout.splitlines()[1:]
    return [tuple(row.split()[:2]) for row in rows]


def revision(machine: Machine) -> int:
    made = machine.sampan("get", "ns", "default", "-o", "json").stdout
    return int(json.loads(made)["metadata"]["resourceVersion"])


@pytest.fixture(scope="module", autouse=True)
def up(cluster: Machine) -> None:
    """Every test here begins with the cluster of the one before, and one pod to look after."""
    cluster.sampan("apply", "-f", str(CLIENT))


def test_up_makes_its_context_current_and_a_second_up_finds_all_in_place(machine: Machine) -> None:
    config = (machine.home / ".kube" / "config").read_text()
    assert f"current-context: sampan-{machine.name}" in config
    assert (machine.home / ".kube" / "config").stat().st_mode & 0o777 == 0o600
    before = machine.processes()
    told = json.loads(machine.sampan("up", "-o", "json").stdout)
    assert told["context"] == f"sampan-{machine.name}"
    assert machine.processes() == before


def test_status_names_every_process(machine: Machine) -> None:
    found = {(p["component"], p["node"]) for p in machine.processes()}
    assert found >= {
        ("supervisor", ""), ("controlplane", ""), ("launcher", "node1"), ("launcher", "node2"),
        ("agent", "node1"), ("agent", "node2"), ("resolver", ""),
    }  # fmt: skip
    assert nodes(machine) == [("node1", "Ready"), ("node2", "Ready")]


def test_two_nodes_have_bridges_and_tunnels_of_their_own(machine: Machine) -> None:
    for node in ("node1", "node2"):
        inside = ("ip", "netns", "exec", f"{machine.name}-{node}")
        assert (
            "dstport 8472" in machine.run(*inside, "ip", "-d", "link", "show", "flannel.1").stdout
        )
        assert "inet 10.244." in machine.run(*inside, "ip", "addr", "show", "cni0").stdout
        assert (
            "permanent" in machine.run(*inside, "bridge", "fdb", "show", "dev", "flannel.1").stdout
        )


def test_the_host_has_one_link_and_no_rules_of_ours(machine: Machine) -> None:
    links = machine.run("ip", "-br", "link").stdout.splitlines()
    assert len([line for line in links if not line.startswith("lo")]) == 1
    assert machine.run("nft", "list", "ruleset").stdout.strip() == ""


def test_another_cluster_cannot_take_the_same_ranges(machine: Machine) -> None:
    done = machine.run("sampan", "up", "--name", "second", check=False)
    assert done.returncode == 4
    assert "choose another --" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    machine.run("sampan", "delete", "--name", "second")


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--nodes", "0"], 2, "--nodes 0: must be between 1 and 100"),
        (["--config", "/nowhere"], 2, "--config /nowhere"),
        (["--nodes", "3"], 4, "was made with --nodes 2"),
    ],
)
def test_bad_flags_have_a_code_and_one_line(
    machine: Machine, flags: list[str], code: int, told: str
) -> None:
    done = machine.sampan("up", *flags, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert told in done.stderr


def test_a_user_without_root_is_told_so(machine: Machine) -> None:
    done = machine.run("setpriv", "--reuid", "65534", "sampan", "up", "--name", "x", check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "component", ["controlplane", "supervisor", "agent", "launcher", "resolver"]
)
def test_a_killed_process_is_back_and_pods_live_on(machine: Machine, component: str) -> None:
    def container() -> str:
        status = json.loads(machine.sampan("get", "pod", "client", "-o", "json").stdout)["status"]
        assert status["phase"] == "Running"
        assert status["containerStatuses"][0]["ready"]
        started: str = status["containerStatuses"][0]["state"]["running"]["startedAt"]
        return f"{status['podIP']} {started} {status['containerStatuses'][0]['restartCount']}"

    before = eventually(container)
    victims = [p for p in machine.processes() if p["component"] == component]
    for victim in victims:
        machine.run("kill", "-9", str(victim["pid"]))
    old = {v["pid"] for v in victims}

    def back() -> bool:
        now = [p for p in machine.processes() if p["component"] == component]
        return len(now) == len(victims) and not old & {p["pid"] for p in now}

    assert eventually(back, within_s=10)
    machine.sampan("up", "-q")
    assert eventually(container) == before

    def answers() -> bool:
        return machine.sampan("exec", "client", "--", "hostname").stdout == "client\n"

    assert eventually(answers, within_s=5)


def test_down_keeps_the_objects_and_up_goes_on_counting(machine: Machine) -> None:
    machine.sampan(
        "apply", "-f", "-", stdin="{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}"
    )
    before = json.loads(machine.sampan("get", "cm", "kept", "-o", "json").stdout)["metadata"]
    machine.sampan("down")
    told = json.loads(machine.sampan("status", "-o", "json").stdout)
    assert (told["state"], told["processes"]) == ("stopped", [])
    assert namespaces(machine) == ""
    machine.sampan("up", "-q")
    after = json.loads(machine.sampan("get", "cm", "kept", "-o", "json").stdout)["metadata"]
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])
    machine.sampan(
        "apply", "-f", "-", stdin="{apiVersion: v1, kind: ConfigMap, metadata: {name: later}}"
    )
    later = json.loads(machine.sampan("get", "cm", "later", "-o", "json").stdout)["metadata"]
    assert int(later["resourceVersion"]) > int(before["resourceVersion"])

    def running() -> bool:
        return "Running" in machine.sampan("get", "pod", "client").stdout

    assert eventually(running, within_s=20)


def test_a_reboot_in_the_middle_loses_nothing(machine: Machine) -> None:
    name = "{apiVersion: v1, kind: ConfigMap, metadata: {name: before-power-off}}"
    machine.sampan("apply", "-f", "-", stdin=name)
    machine.reboot()
    assert json.loads(machine.sampan("status", "-o", "json").stdout)["state"] == "stopped"
    machine.sampan("up", "-q")
    assert "before-power-off" in machine.sampan("get", "cm").stdout

    def running() -> bool:
        return "Running" in machine.sampan("get", "pod", "client").stdout

    assert eventually(running, within_s=20)


def test_two_ups_at_once_make_one_cluster(machine: Machine) -> None:
    machine.sampan("down")
    up = f"sampan up -q --name {machine.name}"
    script = f"{up} & {up}; first=$?; wait $!; echo $first $?"
    done = machine.run("sh", "-c", script)
    assert sorted(done.stdout.split()) in (["0", "0"], ["0", "4"]), done.stderr
    assert len([p for p in machine.processes() if p["component"] == "supervisor"]) == 1


def processes(machine: Machine) -> list[str]:
    """Any that could be ours, by their names and states."""
    left = machine.run("ps", "-e", "-o", "pid=,stat=,comm=").stdout.splitlines()
    return [line for line in left if "sp-" in line or "sampan" in line]


def test_delete_leaves_nothing_even_after_everything_was_killed(machine: Machine) -> None:
    for process in machine.processes():
        machine.run("kill", "-9", str(process["pid"]), check=False)
    for process in machine.processes():
        machine.run("kill", "-9", str(process["pid"]), check=False)
    machine.sampan("delete", "--name", machine.name)
    assert namespaces(machine) == ""
    assert mounts(machine) == []
    assert cgroups(machine.name) == []
    assert not (machine.root / "state" / machine.name).exists()
    assert not (machine.root / "run" / machine.name).exists()
    links = machine.run("ip", "-br", "link").stdout.splitlines()
    assert [line.split()[0] for line in links] == ["lo"]
    assert machine.run("ip", "route").stdout.strip() == ""
    # The kernel takes its time with those that were killed, and with their namespaces.
    assert eventually(lambda: processes(machine) == [], within_s=5), processes(machine)
    assert f"sampan-{machine.name}" not in (machine.home / ".kube" / "config").read_text()
    again = machine.sampan("delete", "--name", machine.name)
    assert "did not exist" in again.stdout
    assert os.path.exists(machine.home)
