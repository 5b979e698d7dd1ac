"""ReplicaSets and Deployments through a fake API."""

from __future__ import annotations

from typing import Any

from sampan.api import kinds
from sampan.api.errors import Forbidden
from sampan.api.meta import Json
from sampan.std.http import Request

TEMPLATE: Json = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "x:1"}]},
}


def workload(kind: str, replicas: int, **spec: Any) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": TEMPLATE,
            **spec,
        },
    }


def make_ready(world: Any) -> None:
    for pod in world.api.all(kinds.PODS):
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
        world.api.put(kinds.PODS, {**pod, "status": {"phase": "Running", "conditions": ready}})


def test_a_replicaset_makes_exactly_its_pods(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.REPLICASETS, workload("ReplicaSet", 7))
        await world.settle()
        assert len(world.api.all(kinds.PODS)) == 7
        (status,) = [rs["status"] for rs in world.api.all(kinds.REPLICASETS)]
        assert status["replicas"] == status["fullyLabeledReplicas"] == 7
        await world.settle(60)
        assert sum(r.method == "POST" and "/pods" in r.path for r in world.api.requests) == 7

    play(scene, "replicaset")


def test_fewer_are_wished_and_those_that_are_not_ready_go(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.REPLICASETS, workload("ReplicaSet", 3))
        await world.settle()
        make_ready(world)
        first = world.api.all(kinds.PODS)[0]
        world.api.put(kinds.PODS, {**first, "status": {"phase": "Pending"}})
        found = world.api.all(kinds.REPLICASETS)[0]
        world.api.put(kinds.REPLICASETS, {**found, "spec": {**found["spec"], "replicas": 2}})
        await world.settle()
        left = [pod["metadata"]["name"] for pod in world.api.all(kinds.PODS)]
        assert first["metadata"]["name"] not in left
        assert len(left) == 2

    play(scene, "replicaset")


def test_a_refused_pod_costs_few_calls_and_is_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        def no_pods(request: Request) -> Forbidden | None:
            is_pod = request.method == "POST" and request.path.endswith("/pods")
            return Forbidden("exceeded quota") if is_pod else None

        world.api.fail = no_pods
        world.api.put(kinds.REPLICASETS, workload("ReplicaSet", 100))
        await world.settle(0.02)
        assert sum(r.path.endswith("/pods") and r.method == "POST" for r in world.api.requests) < 5
        (rs,) = world.api.all(kinds.REPLICASETS)
        (condition,) = rs["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
        world.api.fail = lambda request: None
        await world.settle(2000)
        assert len(world.api.all(kinds.PODS)) == 100

    play(scene, "replicaset")


def test_a_deployment_rolls_to_a_new_template_and_keeps_the_old_set(play: Any) -> None:
    async def scene(world: Any) -> None:
        rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"}
        world.api.put(
            kinds.DEPLOYMENTS,
            workload("Deployment", 3, strategy=rolling, progressDeadlineSeconds=600),
        )
        await world.settle()
        make_ready(world)
        await world.settle()
        found = world.api.all(kinds.DEPLOYMENTS)[0]
        spec = {"containers": [{"name": "c", "image": "x:2"}]}
        changed = {**found["spec"], "template": {**TEMPLATE, "spec": spec}}
        meta = {**found["metadata"], "generation": 2}
        world.api.put(kinds.DEPLOYMENTS, {**found, "metadata": meta, "spec": changed})
        for _ in range(8):
            await world.settle()
            running = [p for p in world.api.all(kinds.PODS) if p.get("status")]
            assert len(running) >= 3
            assert len(world.api.all(kinds.PODS)) <= 4
            make_ready(world)
        await world.settle()
        images = {p["spec"]["containers"][0]["image"] for p in world.api.all(kinds.PODS)}
        assert images == {"x:2"}
        sizes = sorted(rs["spec"]["replicas"] for rs in world.api.all(kinds.REPLICASETS))
        assert sizes == [0, 3]
        (deployment,) = world.api.all(kinds.DEPLOYMENTS)
        reasons = {c["type"]: c["reason"] for c in deployment["status"]["conditions"]}
        assert reasons["Progressing"] == "NewReplicaSetAvailable"
        assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"

    play(scene, "deployment", "replicaset")


def test_a_deployment_without_progress_says_so_when_its_deadline_passes(play: Any) -> None:
    async def scene(world: Any) -> None:
        deployment = workload("Deployment", 1, progressDeadlineSeconds=600)
        world.api.put(kinds.DEPLOYMENTS, deployment)
        await world.settle(590)
        (found,) = world.api.all(kinds.DEPLOYMENTS)
        reasons = {c["type"]: c["reason"] for c in found["status"]["conditions"]}
        assert reasons["Progressing"] == "ReplicaSetUpdated"
        await world.settle(20)
        (found,) = world.api.all(kinds.DEPLOYMENTS)
        reasons = {c["type"]: c["reason"] for c in found["status"]["conditions"]}
        assert reasons["Progressing"] == "ProgressDeadlineExceeded"

    play(scene, "deployment", "replicaset")
