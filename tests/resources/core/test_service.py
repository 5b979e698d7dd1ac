"""A Service: its families and pools, its changes of type, its rules and its row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.resources.core.service import SERVICE

DUAL = ("IPv4", "IPv6")


def svc(**spec: Any) -> Json:
    ports = spec.pop("ports", [{"port": 80}])
    return {"metadata": {"name": "s"}, "spec": {"ports": ports, **spec}}


def test_a_dual_stack_service_gets_an_address_of_each_family(rig: Any) -> None:
    made = rig(SERVICE, DUAL).create(svc(ipFamilyPolicy="PreferDualStack"))["spec"]
    assert made["ipFamilies"] == ["IPv4", "IPv6"]
    assert len(made["clusterIPs"]) == 2
    assert made["clusterIP"] == made["clusterIPs"][0]


def test_a_single_stack_cluster_gives_one_to_who_only_prefers_two(rig: Any) -> None:
    made = rig(SERVICE).create(svc(ipFamilyPolicy="PreferDualStack"))["spec"]
    assert made["ipFamilies"] == ["IPv4"]


def test_what_the_cluster_does_not_serve_is_refused(rig: Any) -> None:
    assert rig(SERVICE).refusal(svc(ipFamilyPolicy="RequireDualStack")) == (
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured '
        "for dual-stack services"
    )
    assert rig(SERVICE).refusal(svc(ipFamilies=["IPv6"])) == (
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'
    )
    assert rig(SERVICE).refusal(svc(clusterIP="fd00::5")) == (
        'spec.clusterIPs[0]: Invalid value: ["fd00::5"]: IPv6 is not configured on this cluster'
    )


def test_two_families_need_a_policy_for_two(rig: Any) -> None:
    told = rig(SERVICE, DUAL).refusal(svc(ipFamilies=["IPv4", "IPv6"]))
    assert told == (
        "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
        "'PreferDualStack' when multiple IP families are specified"
    )


def test_the_second_family_comes_and_goes_by_policy(rig: Any) -> None:
    services = rig(SERVICE, DUAL)
    first = services.create(svc())["spec"]["clusterIP"]
    both = services.patch("s", {"spec": {"ipFamilyPolicy": "RequireDualStack"}})["spec"]
    assert both["clusterIPs"][0] == first
    assert len(both["clusterIPs"]) == 2
    one = services.patch("s", {"spec": {"ipFamilyPolicy": "SingleStack"}})["spec"]
    assert one["clusterIPs"] == [first]
    assert one["ipFamilies"] == ["IPv4"]


def test_the_second_address_may_not_go_unsaid(rig: Any) -> None:
    services = rig(SERVICE, DUAL)
    made = services.create(svc(ipFamilyPolicy="RequireDualStack"))["spec"]
    told = services.refusal_of_patch("s", {"spec": {"clusterIPs": made["clusterIPs"][:1]}})
    assert told == (
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to "
        "release the secondary cluster IP"
    )


def test_ports_of_one_number_share_a_node_port(rig: Any) -> None:
    ports = [
        {"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"},
        {"name": "m", "port": 9153},
    ]  # fmt: skip
    made = rig(SERVICE).create(svc(type="NodePort", ports=ports))["spec"]["ports"]
    assert made[0]["nodePort"] == made[1]["nodePort"] != made[2]["nodePort"]


def test_a_named_node_port_is_shared_by_its_twin(rig: Any) -> None:
    ports = [
        {"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053},
    ]  # fmt: skip
    made = rig(SERVICE).create(svc(type="NodePort", ports=ports))["spec"]["ports"]
    assert [port["nodePort"] for port in made] == [30053, 30053]


def test_a_port_that_is_added_gets_a_node_port_of_its_own(rig: Any) -> None:
    services = rig(SERVICE)
    made = services.create(svc(type="NodePort", ports=[{"name": "t", "port": 53}]))
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    both = services.patch("s", {"spec": {"ports": ports}})["spec"]["ports"]
    assert both[0]["nodePort"] == made["spec"]["ports"][0]["nodePort"] != both[1]["nodePort"]


@given(st.lists(st.tuples(st.sampled_from([53, 80, 443]), st.sampled_from(["TCP", "UDP", "SCTP"]),
                          st.sampled_from([0, 0, 30001, 30002])),
                min_size=1, max_size=5, unique_by=lambda port: port[:2]))  # fmt: skip
def test_every_port_that_needs_one_is_given_a_node_port(found: list[tuple[int, str, int]]) -> None:
    # Only ports of one number may share a node port: the allocator refuses others.
    found = [(port, protocol, node and node + 10 * (port % 7)) for port, protocol, node in found]
    ports = [
        {"port": port, "protocol": protocol, **({"nodePort": node} if node else {})}
        for port, protocol, node in found
    ]
    obj: Json = {"metadata": {"name": "s"}, "spec": {
        "type": "NodePort", "clusterIPs": ["None"], "ports": ports}}  # fmt: skip
    needs = SERVICE.needs(obj, None)
    assert needs is not None
    given_ports = tuple(number or 31000 + at for at, (number, _) in enumerate(needs.node_ports))
    SERVICE.assign(obj, (), given_ports, 0)
    assert len(needs.port_paths) == len(set(given_ports)) == len(given_ports)
    assert {port["nodePort"] for port in ports} == set(given_ports)
    for (_, _, wished), port in zip(found, ports, strict=True):
        assert not wished or port["nodePort"] == wished


def test_a_balancer_without_node_ports_keeps_those_that_were_named(rig: Any) -> None:
    ports = [{"name": "a", "port": 1, "nodePort": 30001}, {"name": "b", "port": 2}]
    body = svc(type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=ports)
    made = rig(SERVICE).create(body)["spec"]["ports"]
    assert [port.get("nodePort") for port in made] == [30001, None]


def test_a_local_balancer_gets_a_health_check_port_and_keeps_it(rig: Any) -> None:
    services = rig(SERVICE)
    body = svc(type="LoadBalancer", externalTrafficPolicy="Local")
    port = services.create(body)["spec"]["healthCheckNodePort"]
    body["spec"]["externalTrafficPolicy"] = "Local"
    assert services.replace(body)["spec"]["healthCheckNodePort"] == port
    told = services.refusal_of_patch("s", {"spec": {"healthCheckNodePort": port + 1}})
    assert told == "spec.healthCheckNodePort: Forbidden: field is immutable"
    changed = services.patch("s", {"spec": {"externalTrafficPolicy": "Cluster"}})
    assert "healthCheckNodePort" not in changed["spec"]


CHANGES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "Headless")


def as_type(kind: str) -> Json:
    if kind == "ExternalName":
        return {"type": kind, "externalName": "x.example.com", "clusterIP": None, "ports": None}
    if kind == "Headless":
        return {"type": "ClusterIP", "clusterIP": "None", "externalName": None}
    return {"type": kind, "externalName": None, "ports": [{"port": 80}]}


@pytest.mark.parametrize("before", CHANGES)
@pytest.mark.parametrize("after", CHANGES)
def test_every_change_of_type_leaves_only_what_fits(before: str, after: str, rig: Any) -> None:
    services = rig(SERVICE)
    spec = {key: value for key, value in as_type(before).items() if value is not None}
    services.create({"metadata": {"name": "s"}, "spec": spec})
    if (before, after) == ("Headless", "ClusterIP"):
        pytest.skip("both are of type ClusterIP: nothing changes")
    if "Headless" in (before, after) and before != after and "ExternalName" not in (before, after):
        patch = {**as_type(after), "clusterIPs": None}
        assert services.refusal_of_patch("s", {"spec": patch})
        return
    patch = as_type(after) if before != after else {}
    got = services.patch("s", {"spec": patch})["spec"]
    assert ("clusterIP" in got) == (after != "ExternalName")
    node_ports = [port for port in got.get("ports") or () if port.get("nodePort")]
    assert bool(node_ports) == (after in ("NodePort", "LoadBalancer"))
    assert ("externalTrafficPolicy" in got) == (after in ("NodePort", "LoadBalancer"))
    assert ("allocateLoadBalancerNodePorts" in got) == (after == "LoadBalancer")
    assert ("internalTrafficPolicy" in got) == (after != "ExternalName")


WRONG: dict[str, tuple[Json, str]] = {
    "an external name has no address": (
        svc(type="ExternalName", externalName="a.b", clusterIP="10.96.0.1"),
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    ),
    "an external name is a name": (
        svc(type="ExternalName"),
        "spec.externalName: Required value",
    ),
    "None is not for node ports": (
        svc(type="NodePort", clusterIP="None", selector={"a": "b"}),
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort "
        "services",
    ),
    "node ports are not for cluster addresses": (
        svc(ports=[{"port": 80, "nodePort": 30001}]),
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    "a node port is used once per protocol": (
        svc(type="NodePort", ports=[{"name": "a", "port": 1, "nodePort": 30001},
                                    {"name": "b", "port": 2, "nodePort": 30001}]),
        "spec.ports[1].nodePort: Duplicate value: 30001",
    ),
    "affinity has an end": (
        svc(sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}}),
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: "
        "must be greater than 0 and less than 86400",
    ),
    "an external address is nobody's own": (
        svc(externalIPs=["127.0.0.1"]),
        'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
        "(127.0.0.0/8, ::1/128)",
    ),
    "a policy for the outside needs an outside": (
        svc(externalTrafficPolicy="Local"),
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for '
        "externally-accessible services",
    ),
    "a policy for the inside is one of two": (
        svc(internalTrafficPolicy="Near"),
        'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", '
        '"Local"',
    ),
    "distribution is one of three": (
        svc(trafficDistribution="Near"),
        'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", '
        '"PreferSameZone", "PreferSameNode"',
    ),
    "ranges are for balancers": (
        svc(loadBalancerSourceRanges=["10.0.0.0/8"]),
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ),
    "a class is for balancers": (
        svc(loadBalancerClass="example.com/x"),
        "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ),
    "a protocol of the application is qualified": (
        svc(ports=[{"port": 80, "appProtocol": "a/b/c"}]),
        'spec.ports[0].appProtocol: Invalid value: "a/b/c": a valid label key must consist of '
        "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and "
        "'/' (e.g. 'example.com/MyName')",
    ),
    "a family is known, and once": (
        svc(ipFamilies=["IPv5", "IPv4", "IPv4"]),
        'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
    ),
    "an address has its family": (
        svc(clusterIP="10.96.0.9", ipFamilies=["IPv6"]),
        'spec.clusterIPs[0]: Invalid value: "10.96.0.9": expected an IPv6 value as indicated by '
        "`ipFamilies[0]`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_service_is_refused_in_upstreams_words(name: str, rig: Any) -> None:
    body, told = WRONG[name]
    got = rig(SERVICE).refusal(body)
    assert told in got if got.startswith("[") else got == told


def test_status_holds_balancers_addresses(rig: Any) -> None:
    services = rig(SERVICE)
    services.create(svc(type="LoadBalancer"))
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    got = services.patch("s", ingress, sub="status")
    assert got["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
    assert rig(SERVICE).row(got)["External-IP"] == "192.0.2.1"
    got = services.patch("s", {"spec": {"type": "ClusterIP"}})
    assert got["status"] == {"loadBalancer": {}}


def test_the_row_of_a_balancer_that_waits(rig: Any) -> None:
    made = rig(SERVICE).create(svc(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30080}]))
    row = rig(SERVICE).row(made)
    assert (row["External-IP"], row["Port(s)"]) == ("<pending>", "80:30080/TCP")
    made["spec"]["externalIPs"] = ["192.0.2.9"]
    assert rig(SERVICE).row(made)["External-IP"] == "192.0.2.9"


def test_warnings_tell_what_is_ignored() -> None:
    headless = svc(clusterIP="None", clusterIPs=["None"], sessionAffinity="ClientIP",
                   loadBalancerIP="192.0.2.1")  # fmt: skip
    assert SERVICE.warnings(headless, None) == [
        "spec.loadBalancerIP is ignored for headless services",
        "spec.SessionAffinity is ignored for headless services",
    ]
    odd = svc(type="LoadBalancer", sessionAffinity="None", clusterIP="FD00::1",
              clusterIPs=["FD00::1"], loadBalancerSourceRanges=["10.0.0.1/8"])  # fmt: skip
    assert SERVICE.warnings(odd, None) == [
        'spec.clusterIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format '
        '("fd00::1")',
        'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context '
        '(should be "10.0.0.0/8" or "10.0.0.1/32"?)',
    ]
