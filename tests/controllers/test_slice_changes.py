"""Which slices are created, written anew and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers.slice_changes import Changes, changes_for
from sampan.controllers.slice_layout import Wish, identity, ports_key

SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "d", "uid": "u1"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], "ipFamilies": ["IPv4"]},
}


def slice_of(name: str, port: int, *ips: str, owner: str = "u1") -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "d",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "ownerReferences": [{"kind": "Service", "name": "web", "uid": owner}],
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip]} for ip in ips],
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
    }


def wish(port: int, *ips: str) -> dict[str, Wish]:
    ports = ({"name": "", "port": port, "protocol": "TCP"},)
    endpoints: list[Json] = [{"addresses": [ip]} for ip in ips]
    return {ports_key(ports): Wish(ports, {identity(one): one for one in endpoints})}


def changed(existing: list[Json], wished: dict[str, Wish], service: Json = SERVICE) -> Changes:
    return changes_for(service, "IPv4", existing, wished, None)


def test_other_ports_are_written_into_the_slice_that_would_go() -> None:
    changes = changed([slice_of("web-a", 80, "10.0.0.1")], wish(8080, "10.0.0.1"))
    assert not changes.create
    assert not changes.delete
    (one,) = changes.update
    meta = one["metadata"]
    assert (meta["name"], meta["uid"], meta["resourceVersion"]) == ("web-a", "uid-web-a", "7")
    assert meta["generateName"] == "web-"
    assert one["ports"][0]["port"] == 8080


def test_the_last_endpoint_leaves_its_slice_as_the_empty_one() -> None:
    changes = changed([slice_of("web-a", 80, "10.0.0.1")], {})
    (one,) = changes.update
    assert (one["metadata"]["name"], one["endpoints"], one["ports"]) == ("web-a", [], [])


def test_slices_of_an_earlier_service_of_the_name_go() -> None:
    old = slice_of("web-old", 80, "10.0.0.1", owner="u0")
    changes = changed([old], wish(80, "10.0.0.1"))
    assert changes.delete == [old]
    (fresh,) = changes.create
    assert fresh["metadata"]["ownerReferences"][0]["uid"] == "u1"


def test_a_service_that_is_being_deleted_gets_no_new_slices() -> None:
    meta = {**SERVICE["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    changes = changed([], wish(80, "10.0.0.1"), {**SERVICE, "metadata": meta})
    assert changes == Changes()


def test_a_pod_whose_node_is_unknown_is_told_of_and_left_out(
    play: Any, ready_pod: Callable[..., Json]
) -> None:
    async def scene(world: Any) -> None:
        meta = {"name": "web", "namespace": "default"}
        world.api.put(kinds.SERVICES, {**SERVICE, "metadata": meta})
        world.api.put(kinds.PODS, ready_pod("a", ip="10.1.0.1", labels={"app": "web"}))
        await world.settle()
        (event,) = world.api.all(kinds.EVENTS)
        assert (event["reason"], event["message"]) == (
            "FailedToUpdateEndpointSlices",
            "Error updating Endpoint Slices for Service default/web: "
            "skipping Pod a for Service default/web: Node n1 Not Found",
        )
        world.api.put(kinds.NODES, {"metadata": {"name": "n1"}, "spec": {}})
        await asyncio.sleep(0.1)
        (found,) = world.api.all(kinds.ENDPOINTSLICES)
        assert [one["addresses"] for one in found["endpoints"]] == [["10.1.0.1"]]

    play(scene, "endpointslice")
