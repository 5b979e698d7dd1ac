"""What quotas count."""

from __future__ import annotations

from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.resources import usage


def pod(name: str, **meta: Any) -> Json:
    requests = {"cpu": "100m"}
    container = {"name": "c", "image": "x", "resources": {"requests": requests}}
    return {
        "metadata": {"name": name, "namespace": "default", **meta},
        "spec": {"containers": [container]},
        "status": {"phase": "Running"},
    }


def test_a_pod_that_should_be_gone_long_ago_keeps_nobody_from_room(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.PODS, pod("runs"))
        long_ago = {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
        world.api.put(kinds.PODS, pod("stuck", **long_ago))
        now = {"deletionTimestamp": "2023-11-14T22:13:30Z", "deletionGracePeriodSeconds": 30}
        world.api.put(kinds.PODS, pod("leaving", **now))
        hard = {"pods": "9", "requests.cpu": "9", "count/pods": "9"}
        meta = {"name": "q", "namespace": "default"}
        world.api.put(kinds.RESOURCEQUOTAS, {"metadata": meta, "spec": {"hard": hard}})
        await world.settle()
        (quota,) = world.api.all(kinds.RESOURCEQUOTAS)
        assert quota["status"]["used"] == {"pods": "2", "requests.cpu": "200m", "count/pods": "3"}

    play(scene, "resourcequota")


def test_what_the_pod_as_a_whole_names_counts_instead_of_its_containers() -> None:
    found = pod("a")
    found["spec"]["resources"] = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    found["spec"]["overhead"] = {"cpu": "50m", "memory": "1Mi"}
    shown = {name: str(value) for name, value in usage.compute(found).items()}
    assert shown == {
        "requests.cpu": "1050m", "cpu": "1050m", "limits.cpu": "2050m",
        "requests.memory": "1Mi", "memory": "1Mi",
    }  # fmt: skip
