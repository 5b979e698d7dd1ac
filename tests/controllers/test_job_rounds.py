"""Rounds of the Job controller through a fake API: what it writes, how often, and what it counts
when a pod's finalizer does not go as it should.
"""

from __future__ import annotations

from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers.job_rules import FINALIZER

POD: Json = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}


def job(**spec: Any) -> Json:
    return {
        "metadata": {"name": "j", "namespace": "default", "uid": "u"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "backoffLimit": 6,
            "selector": {"matchLabels": {"app": "j"}},
            "template": {"metadata": {"labels": {"app": "j"}}, "spec": POD},
            **spec,
        },
    }


def finish(world: Any, phase: str = "Succeeded") -> None:
    """As a kubelet would: every pod that waits has ended."""
    for pod in world.api.all(kinds.PODS):
        if not pod.get("status"):
            world.api.put(kinds.PODS, {**pod, "status": {"phase": phase}})


def writes(world: Any) -> int:
    return sum(request.method != "GET" for request in world.api.requests)


def status_of(world: Any) -> Json:
    (found,) = world.api.all(kinds.JOBS)
    return dict(found["status"])


def test_a_finished_job_frees_its_pods_and_writes_no_more(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.JOBS, job())
        await world.settle(5)
        finish(world)
        await world.settle(5)
        assert status_of(world)["succeeded"] == 2
        assert not any(pod["metadata"]["finalizers"] for pod in world.api.all(kinds.PODS))
        done = writes(world)
        await world.settle(3600)
        assert writes(world) == done

    play(scene, "job")


def test_a_pod_whose_finalizer_stays_is_counted_once_and_asked_for_ever_more_rarely(
    play: Any,
) -> None:
    """A webhook that puts it back, or a server that does not know the directive."""

    async def scene(world: Any) -> None:
        world.api.kept_finalizers = (FINALIZER,)
        world.api.put(kinds.JOBS, job(completions=4, parallelism=2))
        await world.settle(5)
        finish(world)
        before = writes(world)
        await world.settle(600)
        status = status_of(world)
        assert status.get("succeeded", 0) == 0
        assert len(status["uncountedTerminatedPods"]["succeeded"]) == 2
        assert len(world.api.all(kinds.PODS)) == 4
        assert writes(world) - before < 60
        world.api.kept_finalizers = ()
        await world.settle(2000)
        assert status_of(world)["succeeded"] == 2
        assert status_of(world)["uncountedTerminatedPods"] == {}

    play(scene, "job")


def test_a_pod_that_ended_is_replaced_while_it_waits_for_its_grace(play: Any) -> None:
    """Without its finalizer it is still there: the node has not let it go."""

    async def scene(world: Any) -> None:
        world.api.put(kinds.JOBS, job(completions=1, parallelism=1, podReplacementPolicy="Failed"))
        await world.settle(5)
        (pod,) = world.api.all(kinds.PODS)
        gone = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
        failed = {"status": {"phase": "Failed"}, "metadata": {**pod["metadata"], **gone}}
        world.api.put(kinds.PODS, {**pod, **failed})
        await world.settle(15)
        assert status_of(world)["failed"] == 1
        assert len(world.api.all(kinds.PODS)) == 2

    play(scene, "job")


def test_a_pod_that_is_being_deleted_is_counted_once_though_the_cache_lags(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.JOBS, job(completions=3, parallelism=1, podReplacementPolicy="Failed"))
        await world.settle(5)
        (pod,) = world.api.all(kinds.PODS)
        await world.client.delete(kinds.PODS, pod["metadata"]["name"], "default")
        world.api.late["pods"] = 10
        finish(world, "Failed")
        await world.settle(60)
        assert status_of(world)["failed"] == 1

    play(scene, "job")
