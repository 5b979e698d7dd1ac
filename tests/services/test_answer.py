"""Who may answer for a Service: conditions, policies, hints, ports, families."""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.services import service
from sampan.services.answer import (
    Answer,
    Place,
    Target,
    answer,
    candidates,
    ready_local_addresses,
    serving,
)
from sampan.services.slices import Slice, read

HERE = Place("n1", "east")
DRAINING = {"ready": False, "serving": True, "terminating": True}
GONE = {"ready": False, "serving": False, "terminating": True}


def endpoint(ip: str, node: str = "n1", **more: Any) -> Json:
    return {"addresses": [ip], "nodeName": node, **more}


def sliced(*endpoints: Json, ports: tuple[tuple[str, int], ...] = (("", 8080),)) -> Slice:
    view = read(
        {
            "metadata": {
                "name": "web-a",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "endpoints": list(endpoints),
            "ports": [{"name": name, "port": port} for name, port in ports],
        }
    )
    assert view is not None
    return view


def asked(*slices: Slice, place: Place = HERE, **spec: Any) -> Answer:
    view = service.read(
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}], **spec},
        }
    )
    outside = view.type == "NodePort"
    return answer(view, candidates(slices, "IPv4", "", "TCP"), place, external=outside)


def ips(targets: tuple[Target, ...]) -> list[str]:
    return [target.ip for target in targets]


def test_absent_conditions_count_as_ready() -> None:
    assert ips(asked(sliced(endpoint("10.0.0.1"))).cluster) == ["10.0.0.1"]


def test_ready_endpoints_keep_draining_ones_out() -> None:
    found = asked(sliced(endpoint("10.0.0.1", conditions=DRAINING), endpoint("10.0.0.2")))
    assert ips(found.cluster) == ["10.0.0.2"]


def test_draining_endpoints_answer_when_nobody_is_ready() -> None:
    found = asked(
        sliced(endpoint("10.0.0.1", conditions=DRAINING), endpoint("10.0.0.2", conditions=GONE))
    )
    assert ips(found.cluster) == ["10.0.0.1"]
    assert found.any


def test_a_local_policy_falls_back_by_itself() -> None:
    found = asked(
        sliced(endpoint("10.0.0.1", conditions=DRAINING), endpoint("10.0.0.2", node="n2")),
        internalTrafficPolicy="Local",
        type="NodePort",
    )
    assert ips(found.local) == ["10.0.0.1"]
    assert ips(found.cluster) == ["10.0.0.2"]


def test_any_tells_dead_here_from_dead_everywhere() -> None:
    far = sliced(endpoint("10.0.0.2", node="n2"))
    assert asked(far, internalTrafficPolicy="Local") == Answer((), (), True)
    assert asked(sliced(), internalTrafficPolicy="Local") == Answer((), (), False)


def test_a_service_that_nobody_reaches_from_outside_needs_no_cluster_list() -> None:
    found = asked(sliced(endpoint("10.0.0.1")), internalTrafficPolicy="Local")
    assert found.cluster == ()


def test_zone_hints_are_obeyed_only_when_everyone_has_them() -> None:
    east = endpoint("10.0.0.1", hints={"forZones": [{"name": "east"}]})
    west = endpoint("10.0.0.2", hints={"forZones": [{"name": "west"}]})
    assert ips(asked(sliced(east, west)).cluster) == ["10.0.0.1"]
    assert ips(asked(sliced(east, west, endpoint("10.0.0.3"))).cluster) == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert len(asked(sliced(east, west), place=Place("n1", "north")).cluster) == 2
    assert len(asked(sliced(east, west), place=Place("n1", "")).cluster) == 2


def test_node_hints_beat_zone_hints() -> None:
    mine = endpoint(
        "10.0.0.1", hints={"forZones": [{"name": "west"}], "forNodes": [{"name": "n1"}]}
    )
    other = endpoint(
        "10.0.0.2", hints={"forZones": [{"name": "east"}], "forNodes": [{"name": "n2"}]}
    )
    assert ips(asked(sliced(mine, other)).cluster) == ["10.0.0.1"]


def test_endpoints_that_are_not_ready_need_no_hint() -> None:
    hinted = endpoint("10.0.0.1", hints={"forZones": [{"name": "east"}]})
    unready = endpoint("10.0.0.2", conditions={"ready": False})
    assert ips(asked(sliced(hinted, unready)).cluster) == ["10.0.0.1"]


def test_an_address_in_two_slices_counts_once_and_at_its_best() -> None:
    old = sliced(endpoint("10.0.0.1", conditions={"ready": False, "serving": False}))
    new = sliced(endpoint("10.0.0.1"))
    assert ips(asked(old, new).cluster) == ["10.0.0.1"]


def test_a_port_is_found_by_name_and_protocol_in_each_slice() -> None:
    first = sliced(endpoint("10.0.0.1"), ports=(("web", 8080), ("admin", 9090)))
    second = sliced(endpoint("10.0.0.2"), ports=(("web", 8081),))
    found = candidates((first, second), "IPv4", "web", "TCP")
    assert [(one.endpoint.address, one.port) for one in found] == [
        ("10.0.0.1", 8080),
        ("10.0.0.2", 8081),
    ]
    assert candidates((first,), "IPv4", "web", "UDP") == ()
    assert candidates((first,), "IPv6", "web", "TCP") == ()


def test_flows_may_stay_with_endpoints_that_drain() -> None:
    found = candidates(
        (
            sliced(
                endpoint("10.0.0.1", conditions=DRAINING),
                endpoint("10.0.0.2", conditions=GONE),
                endpoint("10.0.0.3"),
            ),
        ),
        "IPv4",
        "",
        "TCP",
    )
    assert serving(found) == {("10.0.0.1", 8080), ("10.0.0.3", 8080)}


def test_health_checks_count_ready_addresses_of_this_node_once() -> None:
    view = sliced(
        endpoint("10.0.0.1"),
        endpoint("10.0.0.2", node="n2"),
        endpoint("10.0.0.3", conditions=DRAINING),
        ports=(("a", 1), ("b", 2)),
    )
    assert ready_local_addresses((view, view), "IPv4", "n1") == {"10.0.0.1"}


def test_a_service_is_read_with_its_defaults() -> None:
    view = service.read(
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.1",
                "ports": [{"port": 80, "nodePort": 30080}],
                "sessionAffinity": "ClientIP",
                "externalTrafficPolicy": "Local",
                "healthCheckNodePort": 32080,
            },
            "status": {
                "loadBalancer": {
                    "ingress": [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}]
                }
            },
        }
    )
    assert view.cluster_ips == ("10.96.0.1",)
    assert view.affinity_s == 10800
    assert view.load_balancer_ips == ("203.0.113.1",)
    assert view.ports[0].protocol == "TCP"
    assert view.ports[0].target == 80
    assert not view.foreign
    assert not view.headless


def test_a_slice_without_a_service_name_is_nobodys() -> None:
    assert read({"metadata": {"name": "x", "namespace": "default"}}) is None
