"""Which of several possible nodes is best."""

from __future__ import annotations

from typing import Any

from sampan.api import selectors
from sampan.scheduler.scores.image_locality import image_locality
from sampan.scheduler.scores.resources import balanced_allocation, fit, least_allocated
from sampan.scheduler.scores.taints import taints
from tests.scheduler.clusters import chosen, cluster, node, pod


def test_the_node_with_more_room_is_taken() -> None:
    busy = pod("busy", requests={"cpu": "2", "memory": "4Gi"})
    state = cluster(node("n1"), node("n2"), n1=busy)
    asked = pod("p", requests={"cpu": "1", "memory": "1Gi"})
    assert chosen(asked, state) == "n2"
    assert least_allocated(asked, list(state.nodes.values()), state) == [31.0, 81.0]


def test_balance_likes_cpu_and_memory_used_alike() -> None:
    state = cluster(node("n1"), node("n2", capacity={"memory": "64Gi"}))
    asked = pod("p", requests={"cpu": "2", "memory": "4Gi"})
    assert balanced_allocation(asked, list(state.nodes.values()), state) == [75.0, 64.0]
    assert balanced_allocation(pod("q"), list(state.nodes.values()), state) is None


def test_weights_of_preferred_node_affinity_decide() -> None:
    def wish(weight: int, value: str) -> dict[str, Any]:
        expression = {"key": "disk", "operator": "In", "values": [value]}
        return {"weight": weight, "preference": {"matchExpressions": [expression]}}

    state = cluster(node("n1", labels={"disk": "ssd"}), node("n2", labels={"disk": "hdd"}))
    wishes = [wish(10, "ssd"), wish(100, "hdd")]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wishes}}
    assert chosen(pod("p", affinity=affinity), state) == "n2"


def test_soft_taints_are_avoided() -> None:
    soft = [{"key": "k", "effect": "PreferNoSchedule"}]
    state = cluster(node("n1", taints=soft), node("n2"))
    assert taints(pod("p"), list(state.nodes.values()), state) == [0.0, 100.0]
    assert chosen(pod("p"), state) == "n2"


def test_a_node_that_has_the_image_is_better() -> None:
    images = [{"names": ["big:1"], "sizeBytes": 900 << 20}]
    state = cluster(node("n1"), node("n2", images=images))
    scores = image_locality(pod("p", image="big:1"), list(state.nodes.values()), state)
    assert scores is not None
    assert scores[0] == 0 < scores[1]


def test_preferred_neighbours_draw_and_repel() -> None:
    def wish(kind: str) -> dict[str, Any]:
        term = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "db"}},
        }
        entry = {"weight": 50, "podAffinityTerm": term}
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [entry]}}

    state = cluster(node("n1"), node("n2"), n2=pod("db", {"app": "db"}))
    assert chosen(pod("p", affinity=wish("podAffinity")), state) == "n2"
    assert chosen(pod("q", affinity=wish("podAntiAffinity")), state) == "n1"


def test_pods_of_one_service_are_spread_unasked() -> None:
    state = cluster(node("n1"), node("n2"), n1=pod("a", {"app": "s"}))
    state.selector_for = lambda view: selectors.from_labels({"app": "s"})
    assert chosen(pod("b", {"app": "s"}), state) == "n2"


def test_soft_spreading_prefers_the_emptier_zone() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "s"}},
    }
    nodes = (node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}))
    state = cluster(*nodes, n1=pod("a", {"app": "s"}))
    assert chosen(pod("b", {"app": "s"}, topologySpreadConstraints=[constraint]), state) == "n2"


def test_a_pod_that_evens_out_what_is_used_is_welcome() -> None:
    lopsided = pod("a", requests={"cpu": "3", "memory": "1Gi"})
    state = cluster(node("n1"), node("n2"), n1=lopsided)
    asked = pod("p", requests={"cpu": "100m", "memory": "5Gi"})
    assert balanced_allocation(asked, list(state.nodes.values()), state) == [90.0, 60.0]


def strategy(kind: str, **more: Any) -> list[float] | None:
    busy = pod("busy", requests={"cpu": "2", "memory": "4Gi"})
    state = cluster(node("n1"), node("n2"), n1=busy)
    asked = pod("p", requests={"cpu": "1", "memory": "2Gi"})
    score = fit({"scoringStrategy": {"type": kind, **more}})
    return score(asked, list(state.nodes.values()), state)


def test_a_profile_may_prefer_full_nodes_or_a_shape() -> None:
    assert strategy("LeastAllocated") == [25.0, 75.0]
    assert strategy("MostAllocated") == [75.0, 25.0]
    assert strategy("MostAllocated", resources=[{"name": "example.org/gpu"}]) == [0.0, 0.0]
    shape = [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
    ratio = {"requestedToCapacityRatio": {"shape": shape}}
    assert strategy("RequestedToCapacityRatio", **ratio) == [75.0, 25.0]


def test_hosts_without_a_zone_are_spread_over_all_the_same() -> None:
    state = cluster(node("n1"), node("n2"), n2=pod("a", {"app": "s"}))
    state.selector_for = lambda view: selectors.from_labels({"app": "s"})
    assert chosen(pod("b", {"app": "s"}), state) == "n1"
