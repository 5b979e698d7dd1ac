"""Node ranges, silence, taints and evictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers.deps import Settings
from sampan.controllers.node_taints import patience, taints_for
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
    taints = taints_for(sick, 0.0, evict=True)
    assert taints[:2] == [foreign, old]
    assert [t["effect"] for t in taints] == ["NoSchedule", "NoSchedule", "NoExecute"]
    well = {**node("n"), "spec": {"taints": taints}}
    assert taints_for(well, 0.0, evict=True) == [foreign]
