"""Claims of ephemeral volumes."""

from __future__ import annotations

from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json


def _pod(phase: str = "Pending") -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", "image": "x"}],
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}],
        },
        "status": {"phase": phase},
    }


def test_a_pod_gets_the_claim_of_its_volume_and_owns_it(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PODS, _pod())
        await world.settle()
        (claim,) = world.api.all(kinds.PERSISTENTVOLUMECLAIMS)
        assert claim["metadata"]["name"] == "p-v"
        assert claim["metadata"]["labels"] == {"a": "b"}
        (owner,) = claim["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Pod", "p", True)
        assert claim["spec"] == {"accessModes": ["ReadWriteOnce"]}

    play(scene, "ephemeral-volume-controller")


def test_a_pod_that_has_ended_needs_none(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PODS, _pod("Succeeded"))
        await world.settle()
        assert world.api.all(kinds.PERSISTENTVOLUMECLAIMS) == []

    play(scene, "ephemeral-volume-controller")


def test_somebody_else_s_claim_is_left_alone_and_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        claim = {"metadata": {"name": "p-v", "namespace": "default"}, "spec": {}}
        world.api.put(kinds.PERSISTENTVOLUMECLAIMS, claim)
        world.api.put(kinds.PODS, _pod())
        await world.settle()
        told = [event["message"] for event in world.api.all(kinds.EVENTS)]
        says = "PVC default/p-v was not created for pod default/p (pod is not owner)"
        assert set(told) == {f"ephemeral volume v: {says}"}

    play(scene, "ephemeral-volume-controller")
