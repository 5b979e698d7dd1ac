"""What budgets say of pods with and without owners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.selectors import shown

Pods = Callable[..., Json]


def budget(**spec: Any) -> Json:
    full = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return {"metadata": {"name": "b", "namespace": "default", "generation": 1}, "spec": full}


def owned(pod: Json, kind: str, name: str, uid: str) -> Json:
    version = "apps/v1" if kind in ("ReplicaSet", "Deployment", "StatefulSet") else "batch/v1"
    reference = {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": [reference]}}


def told(world: Any) -> list[tuple[str, str]]:
    return [(event["reason"], event["message"]) for event in world.api.all(kinds.EVENTS)]


def test_pods_of_nobody_are_left_out_and_told_of(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        world.api.put(kinds.PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))
        await world.settle()
        status = world.api.all(kinds.PODDISRUPTIONBUDGETS)[0]["status"]
        assert (status["expectedPods"], status["currentHealthy"]) == (0, 1)
        assert status["disruptionsAllowed"] == 0
        assert told(world) == [
            (
                "UnmanagedPods",
                "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:"
                "map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) "
                "were found to be unmanaged. As a result, the status of the PDB cannot be "
                "calculated correctly, which may result in undefined behavior. To account for "
                'these pods please set ".spec.minAvailable" field of the PDB to an integer value.',
            )
        ]

    play(scene, "disruption")


def test_a_number_that_must_stay_needs_no_owner(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        for name, ip in (("a", "10.1.0.1"), ("b", "10.1.0.2")):
            world.api.put(kinds.PODS, ready_pod(name, ip=ip, labels={"app": "web"}))
        world.api.put(kinds.PODDISRUPTIONBUDGETS, budget(minAvailable=1))
        await world.settle()
        status = world.api.all(kinds.PODDISRUPTIONBUDGETS)[0]["status"]
        assert (status["expectedPods"], status["disruptionsAllowed"]) == (2, 1)
        assert told(world) == []

    play(scene, "disruption")


def test_an_owner_that_is_gone_cannot_say_how_many(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        pod = ready_pod("a", ip="10.1.0.1", labels={"app": "web"})
        world.api.put(kinds.PODS, owned(pod, "StatefulSet", "gone", "u1"))
        world.api.put(kinds.PODDISRUPTIONBUDGETS, budget(minAvailable="50%"))
        await world.settle()
        (condition,) = world.api.all(kinds.PODDISRUPTIONBUDGETS)[0]["status"]["conditions"]
        text = 'found no controllers for pod "a"'
        assert (condition["reason"], condition["message"]) == ("SyncFailed", text)
        assert told(world) == [
            (
                "CalculateExpectedPodCountFailed",
                f"Failed to calculate the number of expected pods: {text}",
            )
        ]

    play(scene, "disruption")


def test_two_budgets_for_one_pod_are_one_too_many(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PODDISRUPTIONBUDGETS, budget(minAvailable=1))
        second = budget(minAvailable=1)
        second["metadata"]["name"] = "c"
        world.api.put(kinds.PODDISRUPTIONBUDGETS, second)
        await world.settle()
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        await world.settle()
        text = 'Pod "default"/"a" matches multiple PodDisruptionBudgets.  Chose "b" arbitrarily.'
        assert ("MultiplePodDisruptionBudgets", text) in told(world)

    play(scene, "disruption")


def test_selectors_are_shown_as_upstream_shows_them() -> None:
    rule = {"key": "a", "operator": "In", "values": ["x", "y"]}
    assert shown({"matchExpressions": [rule]}) == (
        "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement"
        "{LabelSelectorRequirement{Key:a,Operator:In,Values:[x y],},},}"
    )
