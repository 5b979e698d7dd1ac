"""Profiles from a configuration file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from sampan.api import selectors
from sampan.scheduler.config import BadConfig, profiles
from sampan.scheduler.decision import Placed, Profile, Unplaced, decide
from sampan.scheduler.filters import FILTERS
from sampan.scheduler.scores import SCORES
from sampan.scheduler.state import ClusterState
from tests.scheduler.clusters import cluster, node, pod


def written(folder: Path, *given: dict[str, object], **more: object) -> tuple[Profile, ...]:
    path = folder / "config.yaml"
    body = {"kind": "KubeSchedulerConfiguration", "profiles": list(given), **more}
    path.write_text(yaml.safe_dump(body))
    return profiles(str(path))


def test_without_a_file_there_is_the_default_profile() -> None:
    (profile,) = profiles("")
    assert profile.name == "default-scheduler"
    assert list(profile.filters) == list(FILTERS)


def test_plugins_can_be_disabled_and_weighed(tmp_path: Path) -> None:
    plugins = {
        "filter": {"disabled": [{"name": "NodePorts"}]},
        "score": {
            "disabled": [{"name": "*"}],
            "enabled": [{"name": "ImageLocality", "weight": 5}],
        },
    }
    (profile,) = written(tmp_path, {"schedulerName": "mine", "plugins": plugins})
    assert profile.name == "mine"
    assert set(FILTERS) - set(profile.filters) == {"NodePorts"}
    assert profile.scores == {"ImageLocality": (5, SCORES["ImageLocality"][1])}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"plugins": {"filter": {"enabled": [{"name": "Nope"}]}}}, "there is no plugin 'Nope'"),
        ({"plugins": {"score": {"disabled": [{"name": "Nope"}]}}}, "there is no plugin 'Nope'"),
        ({"pluginConfig": [{"name": "Nope"}]}, "there is no plugin 'Nope'"),
        ({"pluginConfig": [{"name": "NodePorts", "args": {"a": 1}}]}, "NodePorts has no argument"),
        (
            {
                "pluginConfig": [
                    {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Best"}}}
                ]
            },
            "scoringStrategy.type 'Best'",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    tmp_path: Path, body: dict[str, object], text: str
) -> None:
    with pytest.raises(BadConfig, match=text):
        written(tmp_path, body)


def test_two_profiles_need_two_names(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="same schedulerName"):
        written(tmp_path, {}, {})


def asked(profile: Profile, state: ClusterState, **spec: object) -> str:
    found: Placed | Unplaced = decide(
        pod("p", {"app": "s"}, **spec), state, profile, random.Random(1)
    )
    return found.node if isinstance(found, Placed) else found.message


def test_labels_can_be_required_and_preferred(tmp_path: Path) -> None:
    both = {"enabled": [{"name": "NodeLabel"}]}
    args = {
        "presentLabels": ["disk"],
        "absentLabels": ["old"],
        "presentLabelsPreference": ["fast"],
    }
    config = [{"name": "NodeLabel", "args": args}]
    (profile,) = written(
        tmp_path, {"plugins": {"filter": both, "score": both}, "pluginConfig": config}
    )
    state = cluster(
        node("n1"),
        node("n2", labels={"disk": "", "old": ""}),
        node("n3", labels={"disk": ""}),
        node("n4", labels={"disk": "", "fast": ""}),
    )
    assert asked(profile, state) == "n4"
    state.remove_node("n3")
    state.remove_node("n4")
    assert asked(profile, state) == (
        "0/2 nodes are available: 2 node(s) didn't have the requested labels."
    )


def test_pods_of_a_service_can_be_held_together_and_kept_apart(tmp_path: Path) -> None:
    both = {"enabled": [{"name": "ServiceAffinity", "weight": 10}]}
    args = {"affinityLabels": ["region"], "antiAffinityLabelsPreference": ["rack"]}
    config = [{"name": "ServiceAffinity", "args": args}]
    (profile,) = written(
        tmp_path, {"plugins": {"filter": both, "score": both}, "pluginConfig": config}
    )
    state = cluster(
        node("n1", labels={"region": "a", "rack": "1"}),
        node("n2", labels={"region": "a", "rack": "2"}),
        node("n3", labels={"region": "b", "rack": "3"}),
        n1=pod("a", {"app": "s"}),
    )
    state.selector_for = lambda view: selectors.from_labels({"app": "s"})
    assert asked(profile, state) == "n2"
    assert asked(profile, state, nodeSelector={"region": "b"}) == "n3"


def test_extenders_and_other_versions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="extenders are not supported"):
        written(tmp_path, {}, extenders=[{"urlPrefix": "http://127.0.0.1"}])
    with pytest.raises(BadConfig, match=r"write kubescheduler\.config\.k8s\.io/v1"):
        written(tmp_path, {}, apiVersion="kubescheduler.config.k8s.io/v1beta1")


def test_arguments_change_what_plugins_do(tmp_path: Path) -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["blue"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    config = [
        {"name": "NodeAffinity", "args": {"addedAffinity": required}},
        {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}},
        {"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 30}},
        {"name": "DefaultPreemption", "args": {"minCandidateNodesAbsolute": 7}},
    ]
    (profile,) = written(tmp_path, {"pluginConfig": config})
    assert (profile.bind_timeout_s, profile.candidates_least) == (30, 7)
    blue = {"pool": "blue"}
    state = cluster(node("n1"), node("n2", labels=blue), node("n3", labels=blue))
    state.place(pod("a", requests={"cpu": "1", "memory": "1Gi"}), "n3")
    assert asked(profile, state) == "n3"
    state.remove_node("n2")
    state.remove_node("n3")
    assert asked(profile, state) == (
        "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity."
    )


def test_resources_that_somebody_else_counts_are_ignored(tmp_path: Path) -> None:
    args = {"ignoredResources": ["example.org/a"], "ignoredResourceGroups": ["example.net"]}
    (profile,) = written(tmp_path, {"pluginConfig": [{"name": "NodeResourcesFit", "args": args}]})
    limits = {"example.org/a": "1", "example.net/b": "1"}
    container = {"name": "c", "image": "x", "resources": {"requests": limits}}
    assert asked(profile, cluster(node("n1")), containers=[container]) == "n1"


def test_constraints_can_be_given_to_pods_that_have_none(tmp_path: Path) -> None:
    listed = [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    args = {"defaultConstraints": listed, "defaultingType": "List"}
    (profile,) = written(tmp_path, {"pluginConfig": [{"name": "PodTopologySpread", "args": args}]})
    nodes = (node("n1", labels={"rack": "1"}), node("n2", labels={"rack": "2"}, unschedulable=True))
    state = cluster(*nodes, n1=pod("a", {"app": "s"}))
    state.selector_for = lambda view: selectors.from_labels({"app": "s"})
    assert asked(profile, state) == (
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, "
        "1 node(s) were unschedulable."
    )
