"""Services to slices and Endpoints, through a fake API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json

Pods = Callable[..., Json]
NODE: Json = {
    "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}},
    "spec": {},
}


def service(**spec: Any) -> Json:
    full = {"selector": {"app": "web"}, "ports": [{"port": 80}], "ipFamilies": ["IPv4"], **spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": full}


def addresses(slices: list[Json]) -> list[tuple[str, bool]]:
    return sorted(
        (e["addresses"][0], e["conditions"]["ready"]) for s in slices for e in s["endpoints"]
    )


def test_a_ready_pod_is_an_endpoint_within_milliseconds(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, NODE)
        world.api.put(kinds.SERVICES, service())
        await world.settle()
        (empty,) = world.api.all(kinds.ENDPOINTSLICES)
        assert empty["endpoints"] == []
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        await asyncio.sleep(0.005)
        slices = world.api.all(kinds.ENDPOINTSLICES)
        assert addresses(slices) == [("10.1.0.1", True)]
        (one,) = slices[-1]["endpoints"]
        assert (one["zone"], one["nodeName"]) == ("a", "n1")

    play(scene, "endpointslice")


def test_a_pod_that_loses_its_label_loses_its_place(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, NODE)
        world.api.put(kinds.SERVICES, service())
        for name, ip in (("a", "10.1.0.1"), ("b", "10.1.0.2")):
            world.api.put(kinds.PODS, ready_pod(name, ip=ip, labels={"app": "web"}))
        await world.settle()
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "lost"}))
        await world.settle()
        assert addresses(world.api.all(kinds.ENDPOINTSLICES)) == [("10.1.0.2", True)]
        (endpoints,) = world.api.all(kinds.ENDPOINTS)
        assert [a["ip"] for a in endpoints["subsets"][0]["addresses"]] == ["10.1.0.2"]

    play(scene, "endpointslice", "endpoints")


def test_a_slice_that_somebody_deletes_comes_back(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, NODE)
        world.api.put(kinds.SERVICES, service())
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        await world.settle()
        (slice_,) = world.api.all(kinds.ENDPOINTSLICES)
        world.api.drop(kinds.ENDPOINTSLICES, slice_["metadata"]["name"], "default")
        await world.settle()
        assert addresses(world.api.all(kinds.ENDPOINTSLICES)) == [("10.1.0.1", True)]

    play(scene, "endpointslice")


def test_a_pod_on_an_unknown_node_waits_for_it(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.SERVICES, service())
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        await world.settle()
        assert addresses(world.api.all(kinds.ENDPOINTSLICES)) == []
        world.api.put(kinds.NODES, NODE)
        await world.settle()
        assert addresses(world.api.all(kinds.ENDPOINTSLICES)) == [("10.1.0.1", True)]

    play(scene, "endpointslice")


def test_much_at_once_makes_few_writes(play: Any, ready_pod: Pods) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.NODES, NODE)
        world.api.put(kinds.SERVICES, service())
        await world.settle()
        world.api.requests.clear()
        for number in range(50):
            pod = ready_pod(f"p{number}", ip=f"10.1.0.{number}", labels={"app": "web"})
            world.api.put(kinds.PODS, pod)
        await world.settle()
        assert len(addresses(world.api.all(kinds.ENDPOINTSLICES))) == 50
        writes = [r for r in world.api.requests if r.method in ("POST", "PUT")]
        assert len(writes) <= 10

    play(scene, "endpointslice")


def test_hand_made_endpoints_are_mirrored_until_told_not_to(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.SERVICES, service(selector=None))
        endpoints: Json = {
            "metadata": {"name": "web", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}],
        }
        world.api.put(kinds.ENDPOINTS, endpoints)
        await world.settle()
        assert addresses(world.api.all(kinds.ENDPOINTSLICES)) == [("192.0.2.1", True)]
        endpoints["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
        world.api.put(kinds.ENDPOINTS, endpoints)
        await world.settle()
        assert world.api.all(kinds.ENDPOINTSLICES) == []

    play(scene, "endpointslicemirroring")
