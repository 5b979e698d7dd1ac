"""Who must go so that somebody more important fits."""

from __future__ import annotations

import random
from typing import Any

from sampan.scheduler.decision import Profile, Unplaced, decide
from sampan.scheduler.pod import PodView
from sampan.scheduler.preemption import Plan, preempt
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
