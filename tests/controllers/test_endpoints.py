"""Services to slices and Endpoints, through a fake API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.errors import ApiError, Forbidden
from sampan.api.meta import Json
from sampan.controllers.endpoints import endpoints_for

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


def crowd(ready_pod: Pods, ready: int, waiting: int) -> list[Json]:
    pods = [
        ready_pod(f"p{i}", ip=f"10.1.{i // 250}.{i % 250 + 1}", ready=i < ready)
        for i in range(ready + waiting)
    ]
    for pod in pods:
        pod["metadata"]["uid"] = f"uid-{pod['metadata']['name']}"
    return pods


@pytest.mark.parametrize(
    ("ready", "waiting", "kept"), [(900, 300, (900, 100)), (1100, 50, (1000, 0)), (990, 10, None)]
)
def test_more_than_a_thousand_addresses_are_cut(
    ready_pod: Pods, ready: int, waiting: int, kept: tuple[int, int] | None
) -> None:
    made = endpoints_for(service(), crowd(ready_pod, ready, waiting))
    (subset,) = made["subsets"]
    counts = tuple(len(subset.get(name, ())) for name in ("addresses", "notReadyAddresses"))
    assert counts == (kept or (ready, waiting))
    notes = made["metadata"].get("annotations", {})
    assert notes.get("endpoints.kubernetes.io/over-capacity") == ("truncated" if kept else None)


def test_endpoints_that_somebody_made_before_their_service_stay(play: Any) -> None:
    async def scene(world: Any) -> None:
        made = {"metadata": {"name": "web", "namespace": "default"}, "subsets": []}
        world.api.put(kinds.ENDPOINTS, made)
        await world.settle()
        assert len(world.api.all(kinds.ENDPOINTS)) == 1
        world.api.put(kinds.SERVICES, service(selector=None))
        await world.settle()
        world.api.drop(kinds.SERVICES, "web", "default")
        await world.settle()
        assert world.api.all(kinds.ENDPOINTS) == []

    play(scene, "endpoints")


def test_a_refused_write_is_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        def refuse(request: Any) -> ApiError | None:
            made = request.method == "POST" and request.path.endswith("/endpoints")
            return Forbidden("endpoints is forbidden: no") if made else None

        world.api.fail = refuse
        world.api.put(kinds.SERVICES, service())
        await world.settle(0.004)
        event = world.api.all(kinds.EVENTS)[0]
        assert (event["involvedObject"]["kind"], event["reason"], event["message"]) == (
            "Endpoints",
            "FailedToCreateEndpoint",
            "Failed to create endpoint for service default/web: endpoints is forbidden: no",
        )

    play(scene, "endpoints")


def test_hand_made_endpoints_are_mirrored_up_to_a_thousand_and_the_rest_is_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        ips = [{"ip": f"10.2.{i // 250}.{i % 250 + 1}"} for i in range(1200)]
        subset = {"addresses": ips[:900], "notReadyAddresses": ips[900:], "ports": [{"port": 80}]}
        meta = {"name": "web", "namespace": "default"}
        world.api.put(kinds.SERVICES, service(selector=None))
        world.api.put(kinds.ENDPOINTS, {"metadata": meta, "subsets": [subset]})
        await world.settle()
        (mirror,) = world.api.all(kinds.ENDPOINTSLICES)
        ready = [one["conditions"]["ready"] for one in mirror["endpoints"]]
        assert (ready.count(True), ready.count(False)) == (900, 100)
        assert [event["message"] for event in world.api.all(kinds.EVENTS)] == [
            "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. "
            "200 addresses were skipped"
        ]

    play(scene, "endpointslicemirroring")
