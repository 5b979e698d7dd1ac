"""Who must go so that somebody more important fits."""

from __future__ import annotations

import random
from typing import Any

from sampan.scheduler.decision import Profile, Unplaced, decide
from sampan.scheduler.pod import PodView
from sampan.scheduler.preemption import NoRoom, Plan, preempt
from sampan.scheduler.state import ClusterState
from tests.scheduler.clusters import cluster, node, pod


def sized(name: str, cpu: str, priority: int, labels: dict[str, str] | None = None) -> PodView:
    return pod(name, labels, requests={"cpu": cpu}, priority=priority)


def planned(view: PodView, state: ClusterState, *budgets: dict[str, Any]) -> Plan:
    failed = decide(view, state, Profile(), random.Random(1))
    assert isinstance(failed, Unplaced)
    plan = preempt(view, state, Profile(), failed, budgets)
    assert isinstance(plan, Plan)
    return plan


def names(plan: Plan) -> list[str]:
    return [victim.key.name for victim in plan.victims]


def test_only_the_least_important_that_make_room_go() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}))
    state.place(sized("low", "1", 10), "n1")
    state.place(sized("zero", "1", 0), "n1")
    plan = planned(sized("high", "1", 1000), state)
    assert (plan.node, names(plan)) == ("n1", ["zero"])
    assert {key.name for key in state.nodes["n1"].pods} == {"low", "zero"}
    assert state.nodes["n1"].used == {"cpu": 2000}


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    state = cluster(node("n1", capacity={"cpu": "1"}), node("n2", capacity={"cpu": "1"}))
    state.place(sized("a", "1", 100), "n1")
    state.place(sized("b", "1", 5), "n2")
    assert planned(sized("high", "1", 1000), state).node == "n2"


def test_disruption_budgets_are_spared_where_possible() -> None:
    state = cluster(node("n1", capacity={"cpu": "1"}), node("n2", capacity={"cpu": "1"}))
    state.place(sized("a", "1", 0, {"app": "kept"}), "n1")
    state.place(sized("b", "1", 5), "n2")
    budget = {
        "metadata": {"namespace": "d"},
        "spec": {"selector": {"matchLabels": {"app": "kept"}}},
        "status": {"disruptionsAllowed": 0},
    }
    plan = planned(sized("high", "1", 1000), state, budget)
    assert (plan.node, plan.violations) == ("n2", 0)


def test_anti_affinity_of_a_lesser_pod_can_be_ended_by_its_going() -> None:
    rule = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "web"}},
                }
            ]
        }
    }
    state = cluster(node("n1"), n1=pod("a", {"app": "web"}, affinity=rule, priority=1))
    plan = planned(pod("b", {"app": "web"}, priority=10), state)
    assert names(plan) == ["a"]


def test_a_promised_place_is_kept_for_the_more_important() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}))
    state.nominate(sized("high", "2", 1000), "n1")
    found = decide(sized("p", "1", 0), state, Profile(), random.Random(1))
    assert isinstance(found, Unplaced)
    first = decide(sized("q", "1", 2000), state, Profile(), random.Random(1))
    assert not isinstance(first, Unplaced)


def leaving(name: str, reason: str) -> PodView:
    """A pod that is being deleted, and why."""
    view = sized(name, "2", 0)
    told = {"type": "DisruptionTarget", "status": "True", "reason": reason}
    meta = {**view.obj["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    return PodView({**view.obj, "metadata": meta, "status": {"conditions": [told]}})


def nominated(name: str, where: str) -> PodView:
    view = sized(name, "2", 1000)
    return PodView({**view.obj, "status": {"nominatedNodeName": where}})


def test_who_has_made_room_already_waits_and_keeps_the_promise() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}))
    state.place(leaving("victim", "PreemptionByScheduler"), "n1")
    asked = nominated("high", "n1")
    failed = decide(asked, state, Profile(), random.Random(1))
    assert isinstance(failed, Unplaced)
    found = preempt(asked, state, Profile(), failed)
    assert found == NoRoom(
        "no new claims to deallocate, preemption: not eligible due to a terminating pod on the "
        "nominated node.",
        final=False,
    )


def test_a_pod_that_ends_for_another_reason_does_not_hold_preemption_up() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}))
    state.place(leaving("other", "EvictionByEvictionAPI"), "n1")
    assert planned(nominated("high", "n1"), state).node == "n1"


def test_a_budget_for_all_pods_and_granted_evictions_protect_nobody() -> None:
    state = cluster(node("n1", capacity={"cpu": "1"}))
    state.place(sized("a", "1", 0, {"app": "kept"}), "n1")
    everyone = {
        "metadata": {"namespace": "d"},
        "spec": {"selector": {}},
        "status": {"disruptionsAllowed": 0},
    }
    granted = {
        "metadata": {"namespace": "d"},
        "spec": {"selector": {"matchLabels": {"app": "kept"}}},
        "status": {"disruptionsAllowed": 0, "disruptedPods": {"a": "2026-01-01T00:00:00Z"}},
    }
    assert planned(sized("high", "1", 1000), state, everyone, granted).violations == 0


def test_of_equal_nodes_the_one_whose_longest_running_victim_is_younger_is_chosen() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}), node("n2", capacity={"cpu": "2"}))
    for name, where, began in (("a", "n1", 1), ("b", "n1", 9), ("c", "n2", 4), ("d", "n2", 5)):
        view = sized(name, "1", 0)
        status = {"startTime": f"2026-01-0{began}T00:00:00Z"}
        state.place(PodView({**view.obj, "status": status}), where)
    assert planned(sized("high", "2", 1000), state).node == "n2"
