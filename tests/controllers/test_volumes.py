"""Claims that wait, and classes that come late."""

from __future__ import annotations

from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json


def claim(**spec: Any) -> Json:
    full = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": "data", "namespace": "default"}, "spec": full}


def storage_class(name: str, mode: str = "WaitForFirstConsumer", **notes: str) -> Json:
    return {
        "metadata": {"name": name, "annotations": notes},
        "provisioner": "example.org/disk",
        "volumeBindingMode": mode,
    }


def told(world: Any) -> list[tuple[str, str]]:
    return [(event["reason"], event["message"]) for event in world.api.all(kinds.EVENTS)]


def test_a_claim_says_which_pods_it_waits_for(play: Any) -> None:
    async def scene(world: Any) -> None:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        meta = {"name": "p", "namespace": "default"}
        world.api.put(kinds.STORAGECLASSES, storage_class("late"))
        world.api.put(kinds.PODS, {"metadata": meta, "spec": {"volumes": volumes}})
        await world.settle()
        world.api.put(kinds.PERSISTENTVOLUMECLAIMS, claim(storageClassName="late"))
        await world.settle()
        assert told(world)[0] == ("WaitForPodScheduled", "waiting for pod p to be scheduled")

    play(scene, "persistentvolume-binder")


def test_a_claim_without_a_class_takes_the_one_that_becomes_the_default(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PERSISTENTVOLUMECLAIMS, claim())
        await world.settle()
        note = {"storageclass.kubernetes.io/is-default-class": "true"}
        world.api.put(kinds.STORAGECLASSES, storage_class("plain"))
        world.api.put(kinds.STORAGECLASSES, storage_class("chosen", **note))
        await world.settle()
        (found,) = world.api.all(kinds.PERSISTENTVOLUMECLAIMS)
        assert found["spec"]["storageClassName"] == "chosen"

    play(scene, "persistentvolume-binder")


def test_an_empty_class_is_a_choice(play: Any) -> None:
    async def scene(world: Any) -> None:
        note = {"storageclass.kubernetes.io/is-default-class": "true"}
        world.api.put(kinds.STORAGECLASSES, storage_class("chosen", **note))
        world.api.put(kinds.PERSISTENTVOLUMECLAIMS, claim(storageClassName=""))
        await world.settle()
        (found,) = world.api.all(kinds.PERSISTENTVOLUMECLAIMS)
        assert found["spec"]["storageClassName"] == ""

    play(scene, "persistentvolume-binder")
