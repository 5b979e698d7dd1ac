"""What wakes whom: a change of a node or pod, and pods that a filter refused before."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.scheduler import hints
from sampan.scheduler.base import Filter
from sampan.scheduler.filters import FILTERS
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState
from tests.scheduler.clusters import cluster, node, pod

TAINT = {"taints": [{"key": "k", "effect": "NoSchedule"}]}
SSD = {"labels": {"disk": "ssd"}}
NEAR: dict[str, Any] = {"affinity": {"podAffinity": {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "late"}}}]}}}  # fmt: skip
APART: dict[str, Any] = {"affinity": {"podAntiAffinity": {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "late"}}}]}}}  # fmt: skip
SPREAD: dict[str, Any] = {"topologySpreadConstraints": [
    {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
     "labelSelector": {"matchLabels": {"app": "late"}}}]}  # fmt: skip
PORT = {"ports": [{"hostPort": 80, "containerPort": 80}]}


def filter_of(name: str, view: PodView) -> Filter:
    return FILTERS[name]


NODES: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None, bool]] = [
    ("NodeAffinity", {"nodeSelector": {"disk": "ssd"}}, {}, SSD, True),
    ("NodeAffinity", {"nodeSelector": {"disk": "ssd"}}, SSD, SSD | TAINT, True),
    ("NodeAffinity", {"nodeSelector": {"disk": "ssd"}}, SSD, SSD | {"unschedulable": True}, True),
    ("NodeAffinity", {"nodeSelector": {"disk": "ssd"}}, {}, {}, False),
    ("NodeAffinity", {"nodeSelector": {"disk": "ssd"}}, None, SSD, True),
    ("TaintToleration", {}, TAINT, {}, True),
    ("TaintToleration", {}, {}, {"labels": {"a": "b"}}, False),
    ("TaintToleration", {}, None, TAINT, False),
    ("NodeUnschedulable", {}, {"unschedulable": True}, {}, True),
    ("NodeUnschedulable", {}, {"unschedulable": True}, {"unschedulable": True} | SSD, False),
    ("NodeResourcesFit", {"requests": {"cpu": "6"}}, {}, {"capacity": {"cpu": "8"}}, True),
    ("NodeResourcesFit", {"requests": {"cpu": "6"}}, {}, {"capacity": {"cpu": "5"}}, False),
    ("NodeResourcesFit", {"requests": {"cpu": "1"}}, {}, SSD, False),
    ("NodeResourcesFit", {"requests": {"cpu": "1"}}, {}, {"capacity": {"pods": "200"}}, True),
    ("NodeResourcesFit", {"requests": {"cpu": "1"}}, {}, {"capacity": {"memory": "99Gi"}}, False),
    ("NodeResourcesFit", {"requests": {"cpu": "1"}}, None, {}, True),
    ("NodePorts", PORT, {}, SSD, False),
    ("NodePorts", PORT, None, {}, True),
    ("VolumeBinding", {}, {}, SSD, True),
    ("VolumeBinding", {}, {}, TAINT, True),
    ("VolumeBinding", {}, {}, {"capacity": {"cpu": "8"}}, False),
    ("InterPodAffinity", NEAR, {}, {"labels": {"zone": "a"}}, True),
    ("InterPodAffinity", NEAR, {}, SSD, False),
    ("InterPodAffinity", NEAR, None, {}, False),
    ("InterPodAffinity", APART, None, {}, True),
    ("PodTopologySpread", SPREAD, {}, {"labels": {"zone": "a"}}, True),
    ("PodTopologySpread", SPREAD, {"labels": {"zone": "a"}}, None, True),
    ("PodTopologySpread", SPREAD, {"labels": {"zone": "a"}}, {"labels": {"zone": "a"}}, False),
    ("PodTopologySpread", SPREAD, {"labels": {"zone": "a"}}, {"labels": {"zone": "a"}} | TAINT,
     True),
    ("SomebodyElses", {}, {}, SSD, True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wish", "old", "new", "wakes"), NODES)
def test_a_node_wakes_those_that_its_change_may_help(
    name: str, wish: dict[str, Any], old: Any, new: Any, wakes: bool
) -> None:
    before = None if old is None else node("n1", **{k: dict(v) if isinstance(v, dict) else v
                                                   for k, v in old.items()})  # fmt: skip
    after = None if new is None else node("n1", **{k: dict(v) if isinstance(v, dict) else v
                                                  for k, v in new.items()})  # fmt: skip
    change = hints.NodeChange.of(before, after)
    assert change.concerns(cluster(), filter_of)(name, pod("p", **wish)) is wakes


LATE = {"app": "late"}
PODS: list[tuple[str, str, PodView, PodView, bool]] = [
    ("goes", "NodePorts", pod("p", **PORT), pod("q", **PORT), True),
    ("goes", "NodePorts", pod("p", **PORT), pod("q"), False),
    ("goes", "NodeResourcesFit", pod("p"), pod("q"), True),
    ("goes", "InterPodAffinity", pod("p", **APART), pod("q", LATE), True),
    ("goes", "InterPodAffinity", pod("p", LATE), pod("q", **APART), True),
    ("goes", "InterPodAffinity", pod("p", **NEAR), pod("q", LATE), False),
    ("goes", "PodTopologySpread", pod("p", **SPREAD), pod("q", LATE), True),
    ("goes", "PodTopologySpread", pod("p", **SPREAD), pod("q"), False),
    ("comes", "InterPodAffinity", pod("p", **NEAR), pod("q", LATE), True),
    ("comes", "InterPodAffinity", pod("p", **NEAR), pod("q"), False),
    ("comes", "PodTopologySpread", pod("p", **SPREAD), pod("q", LATE), True),
]


@pytest.mark.parametrize(("what", "name", "waits", "other", "wakes"), PODS)
def test_a_pod_wakes_those_it_stood_in_the_way_of_or_was_missed_by(
    what: str, name: str, waits: PodView, other: PodView, wakes: bool
) -> None:
    state: ClusterState = cluster()
    ask = hints.after_going if what == "goes" else hints.after_coming
    assert ask(other, state)(name, waits) is wakes
