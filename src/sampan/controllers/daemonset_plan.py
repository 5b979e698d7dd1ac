"""One pod on each node that takes it: what to create and what to delete. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.controllers import node_match
from sampan.controllers.deployment_rules import scaled
from sampan.controllers.pods import available_in, is_ready, is_terminating, phase
from sampan.controllers.stamps import created

HASH_LABEL = "controller-revision-hash"
GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)

OnNodes = Mapping[str, Sequence[Json]]


@dataclass(slots=True)
class Plan:
    """Nodes that get a pod, pods that go, and failed ones among them to tell about."""

    create: list[str] = field(default_factory=list)
    delete: list[Json] = field(default_factory=list)
    failed: list[Json] = field(default_factory=list)


def tolerations(spec: Json) -> list[Json]:
    """The template's, and those that keep a daemon where other pods flee."""
    wanted = list(TOLERATED)
    if spec.get("hostNetwork"):
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    own: list[Json] = list(spec.get("tolerations") or ())
    for key, effect in wanted:
        fresh = {"key": key, "operator": "Exists", "effect": effect}
        own = [
            item for item in own
            if (item.get("key"), item.get("effect")) != (key, effect) or item.get("value")
        ]  # fmt: skip
        own.append(fresh)
    return own


def template_for(daemonset: Json, hashed: str) -> Json:
    """The template with our labels and tolerations."""
    template = daemonset["spec"]["template"]
    meta = template.get("metadata") or {}
    labels = {**(meta.get("labels") or {}), HASH_LABEL: hashed}
    generation = (daemonset["metadata"].get("annotations") or {}).get(GENERATION)
    if generation:
        labels[GENERATION_LABEL] = generation
    spec = {**template["spec"], "tolerations": tolerations(template["spec"])}
    return {**template, "metadata": {**meta, "labels": labels}, "spec": spec}


def bound_to(template: Json, node: str) -> Json:
    """The template with an affinity that only this node satisfies; the scheduler does the rest."""
    spec = template["spec"]
    affinity = dict(spec.get("affinity") or {})
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = required.get("nodeSelectorTerms") or [{}]
    pinned = [{**term, "matchFields": [field_]} for term in terms]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": pinned}
    affinity["nodeAffinity"] = node_affinity
    return {**template, "spec": {**spec, "affinity": affinity}}


def node_of(pod: Json) -> str:
    """The node that a daemon pod is on or is meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        found: str = spec["nodeName"]
        return found
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity")) or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for item in term.get("matchFields") or ():
            if item.get("key") == "metadata.name" and len(item.get("values") or ()) == 1:
                return str(item["values"][0])
    return ""


def takes(daemonset: Json, node: Json) -> tuple[bool, bool]:
    """(should run there, may stay there)."""
    spec = daemonset["spec"]["template"]["spec"]
    if not node_match.wants(spec, node):
        return False, False
    borne = tolerations(spec)
    stays = node_match.bears(borne, node, ("NoExecute",))
    return stays and node_match.bears(borne, node, ("NoSchedule",)), stays


def manage(
    daemonset: Json, nodes: Sequence[Json], placed: OnNodes, world: tuple[str, float]
) -> Plan:
    """Pods where they are missing, none where they should not be, one on each node."""
    plan, surges = Plan(), _surges(daemonset)
    for node in nodes:
        name = node["metadata"]["name"]
        pods = placed.get(name, ())
        runs, stays = takes(daemonset, node)
        if not stays:
            plan.delete += [pod for pod in pods if not is_terminating(pod)]
            continue
        alive = _without_finished(plan, pods)
        if runs and (not pods or (surges and not alive)):
            plan.create.append(name)
        elif len(alive) > 1 and not surges:
            plan.delete += sorted(alive, key=_worth)[:-1]
        elif len(alive) > 1:
            plan.delete += _more_than_a_pair(daemonset, alive, world)
    known = {node["metadata"]["name"] for node in nodes}
    for name, pods in placed.items():
        if name not in known:
            # Without a node, those that never got there; the others are pod collection's.
            plan.delete += [
                pod for pod in pods if not pod["spec"].get("nodeName") and not is_terminating(pod)
            ]
    return plan


def _without_finished(plan: Plan, pods: Sequence[Json]) -> list[Json]:
    alive = []
    for pod in pods:
        if is_terminating(pod):
            continue
        if phase(pod) in ("Failed", "Succeeded"):
            plan.failed.append(pod)
            plan.delete.append(pod)
        else:
            alive.append(pod)
    return alive


def _more_than_a_pair(
    daemonset: Json, alive: Sequence[Json], world: tuple[str, float]
) -> list[Json]:
    """While surging, a node may have one pod of the old template and one of the new: until the
    new one is available, or the old one is not ready any more.
    """
    hashed, now = world
    doomed: list[Json] = []
    kept: dict[bool, Json] = {}
    for pod in sorted(alive, key=_worth, reverse=True):
        is_new = label_of(pod) == hashed
        if is_new in kept:
            doomed.append(pod)
        kept.setdefault(is_new, pod)
    if len(kept) == 2:
        need = daemonset["spec"].get("minReadySeconds") or 0
        if not is_ready(kept[False]) or available_in(kept[True], need, now) == 0:
            doomed.append(kept[False])
    return doomed


def _worth(pod: Json) -> tuple[bool, bool, float]:
    return bool(pod["spec"].get("nodeName")), is_ready(pod), -created(pod)


def label_of(pod: Json) -> str:
    found: str = (pod["metadata"].get("labels") or {}).get(HASH_LABEL, "")
    return found


def _surges(daemonset: Json) -> bool:
    return limits(daemonset, 1)[0] > 0


def limits(daemonset: Json, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) for this number of nodes."""
    rolling = (daemonset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 1), desired, up=True)
    return (surge, 0) if surge else (0, max(1, unavailable))


def roll(daemonset: Json, nodes: Sequence[Json], placed: OnNodes, world: tuple[str, float]) -> Plan:
    """The next step of a rolling update: old pods to delete, or new ones beside old ones."""
    hashed, now = world
    need = daemonset["spec"].get("minReadySeconds") or 0
    wanted = [node["metadata"]["name"] for node in nodes if takes(daemonset, node)[0]]
    surge, unavailable = limits(daemonset, len(wanted))
    plan = Plan()
    candidates: list[Json] = []
    places: list[str] = []
    down = surging = 0
    for name in wanted:
        alive = [pod for pod in placed.get(name, ()) if not is_terminating(pod)]
        old = next((pod for pod in alive if label_of(pod) != hashed), None)
        new = next((pod for pod in alive if label_of(pod) == hashed), None)
        new_is_up = new is not None and available_in(new, need, now) == 0
        if old is None:
            down += not new_is_up
        elif not surge:
            is_up = available_in(old, need, now) == 0
            (candidates if is_up else plan.delete).append(old)
            down += not is_up
        elif new is not None:
            surging += not new_is_up
            plan.delete += [old] if new_is_up else []
        elif available_in(old, need, now) != 0:
            plan.create.append(name)  # nothing is lost by replacing that one
        else:
            places.append(name)
    plan.create += places[: max(0, surge - surging)]
    plan.delete += candidates[: max(0, unavailable - down)]
    return plan


def status_of(
    daemonset: Json, nodes: Sequence[Json], placed: OnNodes, world: tuple[str, float]
) -> Json:
    """The counts of the status."""
    hashed, now = world
    need = daemonset["spec"].get("minReadySeconds") or 0
    counts = dict.fromkeys(("desired", "current", "stray", "ready", "available", "updated"), 0)
    for node in nodes:
        pods = sorted(placed.get(node["metadata"]["name"], ()), key=_worth, reverse=True)
        if not takes(daemonset, node)[0]:
            counts["stray"] += bool(pods)
            continue
        counts["desired"] += 1
        if pods:
            first = pods[0]
            counts["current"] += 1
            counts["ready"] += is_ready(first)
            counts["available"] += available_in(first, need, now) == 0
            counts["updated"] += label_of(first) == hashed
    status: Json = {
        "currentNumberScheduled": counts["current"],
        "desiredNumberScheduled": counts["desired"],
        "numberMisscheduled": counts["stray"],
        "numberReady": counts["ready"],
    }
    optional = {
        "observedGeneration": daemonset["metadata"].get("generation", 0),
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
        "collisionCount": (daemonset.get("status") or {}).get("collisionCount") or 0,
    }
    return status | {name: value for name, value in optional.items() if value}
