"""Node ranges, silence, taints and evictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import kinds
from sampan.api.errors import ApiError, Conflict
from sampan.api.meta import Json
from sampan.controllers.deps import Settings
from sampan.controllers.node_taints import Evict, patience, taints_for
from sampan.controllers.node_zones import Rates, Zones
from sampan.controllers.nodeipam import Ranges


def node(name: str, ready: str = "True") -> Json:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]
    return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": conditions}}


def lease(name: str, renewed: int) -> Json:
    spec = {"renewTime": f"2026-01-01T00:{renewed:02d}:00Z"}
    return {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}


@given(st.lists(st.sampled_from(["take", "release"]), max_size=40), st.randoms())
def test_no_two_nodes_ever_share_a_range(actions: list[str], chance: Any) -> None:
    ranges, held, count = Ranges("10.244.0.0/21", 24), {}, 0
    for action in actions:
        if action == "take":
            count += 1
            part = ranges.take(f"n{count}")
            assert (part is None) == (len(held) == 8)
            if part is not None:
                assert part not in held.values()
                held[f"n{count}"] = part
        elif held:
            name = chance.choice(sorted(held))
            ranges.release(name)
            del held[name]


def test_ranges_that_nodes_have_already_are_not_given_out() -> None:
    ranges = Ranges("10.244.0.0/23", 24)
    ranges.occupy("10.244.0.0/24", "old")
    ranges.occupy("192.168.0.0/24", "foreign")
    assert ranges.take("new") == "10.244.1.0/24"
    assert ranges.take("more") is None
    ranges.release("old")
    assert ranges.take("more") == "10.244.0.0/24"


def test_a_range_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Ranges("10.244.0.0/25", 24)


def test_each_node_gets_a_range(play: Any) -> None:
    async def scene(world: Any) -> None:
        for number in range(3):
            world.api.put(kinds.NODES, node(f"n{number}"))
        await world.settle()
        parts = [n["spec"]["podCIDR"] for n in world.api.all(kinds.NODES)]
        assert sorted(parts) == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]

    settings = Settings(cluster_cidrs=("10.244.0.0/16",), allocate_node_cidrs=True)
    play(scene, "nodeipam", settings=settings)


def test_a_silent_node_is_unknown_tainted_and_its_pods_are_not_ready(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        for name in ("n1", "n2"):
            world.api.put(kinds.NODES, node(name))
            world.api.put(kinds.LEASES, lease(name, 0))
        world.api.put(kinds.PODS, ready_pod("p", ip="10.1.0.1", node="n2"))
        for minute in range(1, 8):
            world.api.put(kinds.LEASES, lease("n1", minute))
            await world.settle(10)
        by_name = {n["metadata"]["name"]: n for n in world.api.all(kinds.NODES)}
        assert by_name["n1"]["spec"].get("taints") is None
        assert {(t["key"], t["effect"]) for t in by_name["n2"]["spec"]["taints"]} == {
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
        }
        conditions = {c["type"]: c["status"] for c in by_name["n2"]["status"]["conditions"]}
        assert set(conditions.values()) == {"Unknown"}
        (pod,) = world.api.all(kinds.PODS)
        assert pod["status"]["conditions"][0]["status"] == "False"
        for minute in range(10, 14):
            world.api.put(kinds.LEASES, lease("n1", minute))
            world.api.put(kinds.NODES, {**by_name["n2"], "status": node("n2")["status"]})
            world.api.put(kinds.LEASES, lease("n2", minute))
            await world.settle(10)
        by_name = {n["metadata"]["name"]: n for n in world.api.all(kinds.NODES)}
        assert not by_name["n2"]["spec"].get("taints")

    play(scene, "nodelifecycle")


def test_pods_leave_a_tainted_node_when_their_patience_ends(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        impatient, patient, stubborn = (
            ready_pod(name, ip=f"10.1.0.{n}") for n, name in enumerate(("a", "b", "c"))
        )
        bearing = {"key": "down", "operator": "Exists", "effect": "NoExecute"}
        patient["spec"]["tolerations"] = [{**bearing, "tolerationSeconds": 300}]
        stubborn["spec"]["tolerations"] = [bearing]
        for pod in (impatient, patient, stubborn):
            world.api.put(kinds.PODS, pod)
        taint = {"key": "down", "effect": "NoExecute", "timeAdded": "2023-11-14T22:13:20Z"}
        world.api.put(kinds.NODES, {**node("n1"), "spec": {"taints": [taint]}})
        await world.settle()
        assert [p["metadata"]["name"] for p in world.api.all(kinds.PODS)] == ["b", "c"]
        await world.settle(280)
        assert len(world.api.all(kinds.PODS)) == 2
        await world.settle(30)
        assert [p["metadata"]["name"] for p in world.api.all(kinds.PODS)] == ["c"]

    play(scene, "taint-eviction-controller")


def test_the_shortest_toleration_counts() -> None:
    taints = [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}]
    bears = [
        {"key": "a", "operator": "Exists", "tolerationSeconds": 60},
        {"key": "b", "operator": "Exists", "tolerationSeconds": 30},
    ]
    assert patience({"spec": {"tolerations": bears}}, taints) == 30
    assert patience({"spec": {"tolerations": bears[:1]}}, taints) == 0
    assert patience({"spec": {"tolerations": [{"operator": "Exists"}]}}, taints) is None


def test_foreign_taints_stay_and_known_ones_keep_their_time() -> None:
    foreign = {"key": "gpu", "value": "x", "effect": "NoSchedule"}
    old = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "then"}
    sick = {**node("n", "False"), "spec": {"taints": [foreign, old]}}
    taints = taints_for(sick, 0.0, Evict.START)
    assert taints[:2] == [foreign, old]
    assert [t["effect"] for t in taints] == ["NoSchedule", "NoSchedule", "NoExecute"]
    well = {**node("n"), "spec": {"taints": taints}}
    assert taints_for(well, 0.0, Evict.START) == [foreign]
    silent = {**node("n", "Unknown"), "spec": {"taints": taints}}
    swapped = taints_for(silent, 0.0, Evict.GO_ON)
    assert {t["key"] for t in swapped} == {"gpu", "node.kubernetes.io/unreachable"}
    assert [t["effect"] for t in taints_for(silent, 0.0, Evict.STOP)] == ["NoSchedule"] * 2
    assert taints_for({"metadata": {}, "spec": {}}, 0.0, Evict.START) == []


def silent(name: str, zone: str = "a", ready: str = "Unknown") -> Json:
    found = node(name, ready)
    found["metadata"]["labels"] = {"topology.kubernetes.io/zone": zone}
    return found


def answering(count: int, zone: str = "a") -> list[Json]:
    return [silent(f"ok-{zone}{i}", zone, "True") for i in range(count)]


def test_silent_nodes_of_a_zone_are_emptied_one_in_ten_seconds() -> None:
    zones = Zones(Rates())
    nodes = [silent("n1"), silent("n2"), *answering(3), silent("m1", "b"), *answering(1, "b")]
    assert not zones.look(nodes, 100.0)
    assert zones.due(100.0) == ["n1", "m1"]
    zones.look(nodes, 105.0, {"n1", "m1"})
    assert zones.due(105.0) == []
    assert zones.wait(105.0) == 5.0
    assert zones.due(110.0) == ["n2"]
    assert zones.wait(110.0) is None


def test_a_small_zone_that_is_mostly_silent_is_not_emptied_a_large_one_slowly() -> None:
    zones = Zones(Rates())
    small = [silent(f"s{i}") for i in range(3)]
    zones.look([*small, *answering(2)], 0.0)
    assert zones.due(0.0) == []
    large = [silent(f"s{i}", "big") for i in range(40)]
    zones.look([*large, *answering(20, "big")], 0.0)
    assert zones.due(0.0) == ["s0"]
    assert zones.wait(0.0) == 100.0


def test_when_nobody_answers_nobody_is_emptied() -> None:
    zones = Zones(Rates())
    everyone = [silent("n1"), silent("n2", "b")]
    assert zones.look(everyone, 0.0)
    assert zones.due(0.0) == []
    assert zones.look([everyone[0], *answering(1, "b")], 1.0)
    assert zones.due(1.0) == ["n1"]


def test_a_cluster_whose_nodes_fall_silent_together_keeps_its_pods(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        for name in ("n1", "n2"):
            world.api.put(kinds.NODES, node(name))
            world.api.put(kinds.LEASES, lease(name, 0))
        world.api.put(kinds.PODS, ready_pod("p", ip="10.1.0.1", node="n2"))
        await world.settle(400)
        for found in world.api.all(kinds.NODES):
            assert [t["effect"] for t in found["spec"]["taints"]] == ["NoSchedule"]
        for minute in (1, 2, 3, 4):
            world.api.put(kinds.LEASES, lease("n1", minute))
            ready = {"status": node("n1")["status"]}
            world.api.put(kinds.NODES, {**world.api.all(kinds.NODES)[0], **ready})
            await world.settle(20)
        taints = {
            n["metadata"]["name"]: n["spec"].get("taints") for n in world.api.all(kinds.NODES)
        }
        assert not taints["n1"]
        assert [t["effect"] for t in taints["n2"]] == ["NoSchedule", "NoExecute"]

    play(scene, "nodelifecycle")


def test_a_node_that_never_reports_is_unknown_after_a_minute_and_not_before(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, node("n1"))
        world.api.put(kinds.NODES, {"metadata": {"name": "new"}, "spec": {}})
        for minute in range(5):
            await world.settle(10)
            world.api.put(kinds.LEASES, lease("n1", minute))
        found = {n["metadata"]["name"]: n for n in world.api.all(kinds.NODES)}
        assert not found["new"]["spec"].get("taints")
        await world.settle(20)
        found = {n["metadata"]["name"]: n for n in world.api.all(kinds.NODES)}
        reasons = {c["reason"] for c in found["new"]["status"]["conditions"]}
        assert reasons == {"NodeStatusNeverUpdated"}
        assert [t["effect"] for t in found["new"]["spec"]["taints"]] == ["NoSchedule", "NoExecute"]

    play(scene, "nodelifecycle")


def test_a_kubelet_that_says_so_itself_is_not_spoken_for(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, node("n1"))
        world.api.put(kinds.NODES, node("n2"))
        world.api.put(kinds.PODS, ready_pod("p", ip="10.1.0.1", node="n2"))
        await world.settle(10)
        world.api.put(kinds.NODES, {**node("n2", "False")})
        await world.settle(10)
        (pod,) = world.api.all(kinds.PODS)
        assert pod["status"]["conditions"][0]["status"] == "True"
        assert {event["reason"] for event in world.api.all(kinds.EVENTS)} == {"RegisteredNode"}
        world.api.drop(kinds.NODES, "n2")
        await world.settle()
        event = world.api.all(kinds.EVENTS)[-1]
        assert (event["reason"], event["message"]) == (
            "RemovingNode", "Node n2 event: Removing Node n2 from Controller",
        )  # fmt: skip

    play(scene, "nodelifecycle")


def test_evictions_are_called_off_when_the_taint_goes_and_it_is_told(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        pod = ready_pod("a", ip="10.1.0.1")
        bearing = {"key": "down", "operator": "Exists", "effect": "NoExecute"}
        pod["spec"]["tolerations"] = [{**bearing, "tolerationSeconds": 300}]
        world.api.put(kinds.PODS, pod)
        taint = {"key": "down", "effect": "NoExecute", "timeAdded": "2023-11-14T22:13:20Z"}
        world.api.put(kinds.NODES, {**node("n1"), "spec": {"taints": [taint]}})
        await world.settle(100)
        world.api.put(kinds.NODES, node("n1"))
        await world.settle(1)
        (event,) = world.api.all(kinds.EVENTS)
        assert (event["reason"], event["message"]) == (
            "TaintManagerEviction", "Cancelling deletion of Pod default/a",
        )  # fmt: skip
        world.api.put(kinds.NODES, {**node("n1"), "spec": {"taints": [taint]}})
        await world.settle(290)
        assert len(world.api.all(kinds.PODS)) == 1
        await world.settle(20)
        assert world.api.all(kinds.PODS) == []

    play(scene, "taint-eviction-controller")


def test_patience_begins_when_the_pod_comes_to_a_node_that_is_tainted_already(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        taint = {"key": "down", "effect": "NoExecute", "timeAdded": "2020-01-01T00:00:00Z"}
        world.api.put(kinds.NODES, {**node("n1"), "spec": {"taints": [taint]}})
        await world.settle()
        pod = ready_pod("a", ip="10.1.0.1")
        bearing = {"key": "down", "operator": "Exists", "tolerationSeconds": 60}
        pod["spec"]["tolerations"] = [bearing]
        world.api.put(kinds.PODS, pod)
        await world.settle(50)
        assert len(world.api.all(kinds.PODS)) == 1
        await world.settle(20)
        assert world.api.all(kinds.PODS) == []

    play(scene, "taint-eviction-controller")


def test_who_writes_a_silent_node_meanwhile_does_not_keep_it_from_being_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        for name in ("n1", "n2"):
            world.api.put(kinds.NODES, node(name))
        world.api.put(kinds.LEASES, lease("n1", 0))
        conflicts = 0

        def refuse(request: Any) -> ApiError | None:
            nonlocal conflicts
            if request.path.endswith("/nodes/n2/status") and conflicts < 2:
                conflicts += 1
                return Conflict("changed meanwhile")
            return None

        world.api.fail = refuse
        for minute in range(1, 8):
            world.api.put(kinds.LEASES, lease("n1", minute))
            await world.settle(8)
        found = {n["metadata"]["name"]: n for n in world.api.all(kinds.NODES)}
        assert conflicts == 2
        assert {c["status"] for c in found["n2"]["status"]["conditions"]} == {"Unknown"}
        assert {c["status"] for c in found["n1"]["status"]["conditions"]} == {"True"}

    play(scene, "nodelifecycle")


def test_a_pod_that_comes_to_a_node_that_does_not_answer_is_not_ready(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, node("n1", "Unknown"))
        world.api.put(kinds.NODES, node("n2"))
        await world.settle(10)
        world.api.put(kinds.PODS, ready_pod("p", ip="10.1.0.1", node="n1"))
        world.api.put(kinds.PODS, ready_pod("q", ip="10.1.0.2", node="n2"))
        await world.settle(1)
        found = {p["metadata"]["name"]: p["status"] for p in world.api.all(kinds.PODS)}
        assert found["p"]["conditions"][0]["status"] == "False"
        assert found["q"]["conditions"][0]["status"] == "True"

    play(scene, "nodelifecycle")
