"""Topology spread constraints with `ScheduleAnyway`, and the spreading that pods get unasked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.scheduler.base import BEST, Score
from sampan.scheduler.filters.spread import counted, unasked
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.terms import HOSTNAME, Spread


def spreading(args: Json) -> Score:
    """The score; by arguments pods get other constraints unasked, or none."""
    default = unasked(args)
    by_system = not args.get("defaultConstraints") and args.get("defaultingType") != "List"

    def score(
        pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
    ) -> list[float] | None:
        asked = bool(pod.spreads)
        every = pod.spreads if asked else default(pod, cluster)
        constraints = [constraint for constraint in every if not constraint.hard]
        if not constraints:
            return None
        keys = [constraint.topology_key for constraint in constraints]
        # Without labels of zones, the system's defaults still spread over hosts.
        strict = asked or not by_system
        ignored = {n.name for n in nodes if strict and any(key not in n.labels for key in keys)}
        scene = _Scene(pod, nodes, cluster, ignored, tuple(keys) if strict else ())
        raw = [0.0] * len(nodes)
        for constraint in constraints:
            _add(raw, constraint, scene)
        return _reversed([math.floor(value + 0.5) for value in raw], nodes, ignored)

    return score


spread: Score = spreading({})


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who is to be placed, where, and which nodes count."""

    pod: PodView
    nodes: Sequence[NodeState]
    cluster: ClusterState
    ignored: set[str]
    keys: tuple[str, ...]
    """A node must have all of these labels for its pods to be counted."""


def _add(raw: list[float], constraint: Spread, scene: _Scene) -> None:
    """One constraint's part of every node's score."""
    key, is_host = constraint.topology_key, constraint.topology_key == HOSTNAME
    counts = scene.cluster.in_namespace(scene.pod.namespace, constraint.selector)
    known = [node for node in scene.nodes if node.name not in scene.ignored]
    # Nodes without the label count as one domain of their own.
    domains = Counter({node.labels.get(key, ""): 0 for node in known})
    size = len(known) if is_host else len(domains)
    if not is_host:
        _count(domains, counts, constraint, scene)
    weight = math.log(size + 2)
    for index, node in enumerate(scene.nodes):
        if node.name not in scene.ignored and key in node.labels:
            there = counts.get(node.name, 0) if is_host else domains[node.labels[key]]
            raw[index] += there * weight + (constraint.max_skew - 1)


def _count(
    domains: Counter[str], counts: Mapping[str, int], constraint: Spread, scene: _Scene
) -> None:
    """Matching pods per domain that one of the nodes belongs to."""
    for name, count in counts.items():
        node = scene.cluster.nodes.get(name)
        if node is None or any(key not in node.labels for key in scene.keys):
            continue
        value = node.labels.get(constraint.topology_key, "")
        if value in domains and counted(scene.pod, constraint, node):
            domains[value] += count


def _reversed(raw: list[int], nodes: Sequence[NodeState], ignored: set[str]) -> list[float]:
    """The emptiest gets 100; nodes without the labels get nothing."""
    known = [value for value, node in zip(raw, nodes, strict=True) if node.name not in ignored]
    if not known:
        return [0.0] * len(raw)
    least, most = min(known), max(known)
    return [
        0.0 if node.name in ignored
        else float(BEST if most == 0 else BEST * (most + least - value) // most)
        for value, node in zip(raw, nodes, strict=True)
    ]  # fmt: skip
