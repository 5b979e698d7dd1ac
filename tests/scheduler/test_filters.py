"""Each reason against a node, in upstream's words, and which nodes remain."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sampan.scheduler.decision import Profile, Unplaced, decide
from sampan.scheduler.preemption import NoRoom, preempt
from tests.scheduler.clusters import chosen, cluster, node, pod

HOSTNAME = "kubernetes.io/hostname"


def required_nodes(*terms: dict[str, Any]) -> dict[str, Any]:
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {field: {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def near(kind: str, labels: dict[str, str], key: str = "zone") -> dict[str, Any]:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": labels}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_no_nodes_is_told_in_its_own_words() -> None:
    assert chosen(pod("p"), cluster()) == "no nodes available to schedule pods"


def test_reasons_are_counted_per_node_and_sorted() -> None:
    state = cluster(
        node("n1", unschedulable=True),
        node("n2", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        node("n3", capacity={"cpu": "100m"}),
        node("n4", labels={"disk": "hdd"}),
        node("n5", capacity={"cpu": "100m", "memory": "10Mi"}),
    )
    asked = pod(
        "p",
        requests={"cpu": "500m", "memory": "100Mi"},
        affinity=required_nodes(expression("disk", "DoesNotExist")),
    )
    assert chosen(asked, state) == (
        "0/5 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node "
        "affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
        "2 Insufficient cpu."
    )


def test_resources_that_others_use_are_gone() -> None:
    state = cluster(node("n1", capacity={"cpu": "2"}), n1=pod("a", requests={"cpu": "1500m"}))
    assert chosen(pod("p", requests={"cpu": "500m"}), state) == "n1"
    assert chosen(pod("q", requests={"cpu": "501m"}), state).endswith("1 Insufficient cpu.")


def test_a_node_takes_only_so_many_pods() -> None:
    state = cluster(node("n1", capacity={"pods": "1"}), n1=pod("a"))
    assert chosen(pod("p"), state) == "0/1 nodes are available: 1 Too many pods."


def test_init_containers_count_for_their_peak_and_sidecars_for_good() -> None:
    asked = pod(
        "p",
        requests={"cpu": "1"},
        initContainers=[
            {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
            {"name": "i", "resources": {"requests": {"cpu": "3"}}},
        ],
        overhead={"cpu": "250m"},
    )
    assert asked.requests == {"cpu": 3750}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["ssd", "nvme"], "n1"),
        ("NotIn", ["ssd", "hdd"], "n3"),
        ("Exists", [], "n1 n2"),
        ("DoesNotExist", [], "n3"),
        ("Gt", ["5"], "n2"),
    ],
)
def test_node_affinity_understands_every_operator(
    operator: str, values: list[str], expected: str
) -> None:
    state = cluster(
        node("n1", labels={"disk": "ssd", "gen": "3"}),
        node("n2", labels={"disk": "hdd", "gen": "7"}),
        node("n3"),
    )
    key = "gen" if operator == "Gt" else "disk"
    asked = pod("p", affinity=required_nodes(expression(key, operator, *values)))
    assert chosen(asked, state) in expected.split()


def test_a_pod_that_names_a_node_that_is_not_there_is_told_which_plugin_says_so() -> None:
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]}
    asked = pod("p", affinity=required_nodes(field))
    assert chosen(asked, cluster(node("n1"), node("n2"))) == (
        "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations_match_key_value_and_effect(toleration: dict[str, str], fits: bool) -> None:
    state = cluster(node("n1", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    assert (chosen(pod("p", tolerations=[toleration]), state) == "n1") is fits


@pytest.mark.parametrize(
    ("port", "fits"),
    [
        ({"containerPort": 80, "hostPort": 8080}, False),
        ({"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}, True),
        ({"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.9"}, False),
        ({"containerPort": 80}, True),
    ],
)
def test_host_ports_clash_by_protocol_and_address(port: dict[str, Any], fits: bool) -> None:
    state = cluster(node("n1"), n1=pod("a", ports=[{"containerPort": 80, "hostPort": 8080}]))
    assert (chosen(pod("p", ports=[port]), state) == "n1") is fits


def test_pod_affinity_keeps_to_the_zone_of_its_like() -> None:
    nodes = (node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}))
    state = cluster(*nodes, n2=pod("db", {"app": "db"}))
    assert chosen(pod("p", affinity=near("podAffinity", {"app": "db"})), state) == "n2"
    lost = chosen(pod("q", affinity=near("podAffinity", {"app": "cache"})), state)
    assert lost == "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."


def test_the_first_of_its_kind_may_go_anywhere() -> None:
    state = cluster(node("n1", labels={"zone": "a"}))
    alone = pod("p", {"app": "self"}, affinity=near("podAffinity", {"app": "self"}))
    assert chosen(alone, state) == "n1"


def test_anti_affinity_counts_for_the_newcomer_and_for_those_there() -> None:
    rule = near("podAntiAffinity", {"app": "web"}, HOSTNAME)
    state = cluster(node("n1"), n1=pod("a", {"app": "web"}, affinity=rule))
    assert chosen(pod("b", {"app": "web"}, affinity=rule), state).endswith(
        "1 node(s) didn't match pod anti-affinity rules."
    )
    assert chosen(pod("c", {"app": "web"}), state).endswith(
        "1 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    assert chosen(pod("d", {"app": "other"}), state) == "n1"


def spread(**more: Any) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "s"}},
            **more,
        }
    ]


def test_topology_spread_keeps_zones_even() -> None:
    nodes = (node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}), node("n3"))
    state = cluster(*nodes, n1=pod("a", {"app": "s"}))
    asked = pod("b", {"app": "s"}, topologySpreadConstraints=spread())
    assert chosen(asked, state) == "n2"
    only_a = pod(
        "c",
        {"app": "s"},
        nodeSelector={"zone": "a"},
        topologySpreadConstraints=spread(nodeAffinityPolicy="Ignore"),
    )
    assert "1 node(s) didn't match pod topology spread constraints," in chosen(only_a, state)
    only_n3 = pod(
        "d", {"app": "s"}, nodeSelector={HOSTNAME: "n3"}, topologySpreadConstraints=spread()
    )
    assert "(missing required label)" in chosen(only_n3, state)


def test_too_few_domains_count_as_an_empty_one() -> None:
    state = cluster(node("n1", labels={"zone": "a"}), n1=pod("a", {"app": "s"}))
    asked = pod("b", {"app": "s"}, topologySpreadConstraints=spread(minDomains=2))
    assert chosen(asked, state).startswith("0/1 nodes are available")


def claim(name: str, **spec: Any) -> dict[str, Any]:
    meta = {"namespace": "d", "name": name, "uid": f"uid-{name}", "annotations": {}}
    if "volumeName" in spec:
        meta["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    resources = {"requests": {"storage": "1Gi"}}
    return {
        "metadata": meta,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
    }


def with_claim(name: str) -> list[dict[str, Any]]:
    return [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]


def volume(name: str, host: str) -> dict[str, Any]:
    term = expression(HOSTNAME, "In", host)
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "wait",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


def test_claims_decide_where_a_pod_can_go() -> None:
    state = cluster(node("n1"), node("n2"))
    claims = {
        "late": claim("late", storageClassName="wait"),
        "now": claim("now", storageClassName="now"),
        "bound": claim("bound", volumeName="pv2"),
        "lost": claim("lost", volumeName="gone"),
    }
    volumes = {"pv1": volume("pv1", "n1"), "pv2": volume("pv2", "n2")}
    volumes["pv2"]["spec"]["claimRef"] = {"namespace": "d", "name": "bound"}
    modes = {"wait": "WaitForFirstConsumer", "now": "Immediate"}
    state.storage.claim = lambda key: claims.get(key.name)
    state.storage.volume = volumes.get
    state.storage.volumes = volumes.values
    state.storage.storage_class = lambda name: {"volumeBindingMode": modes.get(name, "Immediate")}
    messages = {
        "missing": 'persistentvolumeclaim "missing" not found.',
        "now": "pod has unbound immediate PersistentVolumeClaims.",
        "lost": 'persistentvolume "gone" not found.',
    }
    for name, message in messages.items():
        assert chosen(pod(name, volumes=with_claim(name)), state).endswith(message)
    assert chosen(pod("p", volumes=with_claim("bound")), state) == "n2"
    assert chosen(pod("q", volumes=with_claim("late")), state) == "n1"
    del volumes["pv1"]
    assert chosen(pod("r", volumes=with_claim("late")), state).endswith(
        "2 node(s) didn't find available persistent volumes to bind."
    )


def test_a_claim_for_one_pod_is_for_one_pod() -> None:
    only = claim("c", accessModes=["ReadWriteOncePod"], volumeName="pv")
    state = cluster(node("n1"))
    state.storage.claim = lambda key: only
    state.storage.volume = lambda name: {"metadata": {"name": name}, "spec": {}}
    state.place(pod("a", volumes=with_claim("c")), "n1")
    assert chosen(pod("b", volumes=with_claim("c")), state) == (
        "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with "
        "ReadWriteOncePod access mode already in-use by another pod."
    )


def test_claims_that_wait_count_against_the_limit_of_the_driver_that_will_serve_them() -> None:
    claims = {name: claim(name, storageClassName="wait") for name in ("a", "b")}
    state = cluster(node("n1"))
    state.storage.claim = lambda key: claims.get(key.name)
    state.storage.storage_class = lambda name: {
        "volumeBindingMode": "WaitForFirstConsumer", "provisioner": "csi.example.org",
    }  # fmt: skip
    driver = {"name": "csi.example.org", "allocatable": {"count": 1}}
    state.storage.csi_node = lambda name: {"spec": {"drivers": [driver]}}
    assert chosen(pod("p", volumes=with_claim("a")), state) == "n1"
    state.place(pod("p", volumes=with_claim("a")), "n1")
    assert chosen(pod("q", volumes=with_claim("b")), state).endswith(
        "1 node(s) exceed max volume count."
    )


def test_names_of_nodes_that_exclude_each_other_are_a_conflict_of_terms() -> None:
    def field(name: str) -> dict[str, Any]:
        return {"key": "metadata.name", "operator": "In", "values": [name]}

    term = {"matchFields": [field("n1"), field("n2")]}
    asked = pod("p", affinity=required_nodes(term))
    assert chosen(asked, cluster(node("n1"), node("n2"))) == (
        "0/2 nodes are available: pod affinity terms conflict."
    )


def test_a_constraint_over_all_pods_counts_none() -> None:
    constraint = {
        "maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {},
    }  # fmt: skip
    state = cluster(node("n1"), n1=pod("a"))
    state.place(pod("b"), "n1")
    assert chosen(pod("p", topologySpreadConstraints=[constraint]), state) == "n1"


def unplaced(view: Any, state: Any) -> Unplaced:
    found = decide(view, state, Profile(), random.Random(1))
    assert isinstance(found, Unplaced)
    return found


def test_preemption_names_why_it_does_not_help() -> None:
    state = cluster(node("n1", capacity={"cpu": "1"}), n1=pod("a", requests={"cpu": "1"}))
    for view, text in (
        (pod("p", requests={"cpu": "1"}), "1 No preemption victims found for incoming pod."),
        (pod("q", requests={"cpu": "9"}), "1 Preemption is not helpful for scheduling."),
        (
            pod("r", requests={"cpu": "1"}, priority=9, preemptionPolicy="Never"),
            "not eligible due to preemptionPolicy=Never.",
        ),
    ):
        plan = preempt(view, state, Profile(), unplaced(view, state))
        assert isinstance(plan, NoRoom)
        assert plan.message.startswith("no new claims to deallocate, preemption: ")
        assert plan.message.endswith(text)
