"""Which UDP flows are cut off, exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Key
from sampan.linux.base.conntrack import Flow, Leading
from sampan.linux.fake.conntrack import FakeConntrack
from sampan.proxy.conntrack import SHARE, Stale, cut, everything, stale, urgent
from sampan.proxy.model import Frontend, Port, Rules, Target

NODE = frozenset({"192.168.77.1"})


def rules(*serving: str, ip: str = "10.96.0.1", node_port: int = 0, protocol: str = "udp") -> Rules:
    targets = tuple(Target(one, 8080, True) for one in serving)
    port = Port(
        "",
        protocol,
        4,
        ip,
        53,
        node_port,
        (),
        (),
        (),
        False,
        False,
        0,
        targets,
        (),
        bool(targets),
        frozenset((one, 8080) for one in serving),
    )
    return Rules(Key("default", "dns"), (port,), None, "")


def flow(to: str, port: int, answering: str, number: int = 8080) -> Flow:
    return Flow(4, "10.244.1.10", 5000, to, port, answering, number)


def frontends(old: Rules | None, new: Rules | None) -> list[Frontend]:
    return [one.frontend for one in stale(old, new)]


VIP = Frontend(4, "10.96.0.1", "udp", 53)


def test_an_endpoint_that_came_leaves_flows_alone() -> None:
    assert frontends(rules("10.0.0.1"), rules("10.0.0.1", "10.0.0.2")) == []


def test_an_endpoint_that_went_is_looked_for() -> None:
    assert frontends(rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.2")) == [VIP]


def test_the_first_endpoint_frees_clients_that_asked_too_early() -> None:
    assert frontends(rules(), rules("10.0.0.1")) == [VIP]
    assert frontends(None, rules("10.0.0.1")) == [VIP]


def test_a_deleted_service_and_a_closed_node_port_are_looked_for() -> None:
    assert frontends(rules("10.0.0.1"), None) == [VIP]
    node_port = Frontend(4, "", "udp", 30053)
    assert frontends(rules("10.0.0.1", node_port=30053), rules("10.0.0.1")) == [node_port]


def test_tcp_is_left_alone() -> None:
    assert frontends(rules("10.0.0.1", protocol="tcp"), None) == []


def test_only_flows_that_lead_nowhere_are_cut() -> None:
    flows = [
        flow("10.96.0.1", 53, "10.0.0.1"),
        flow("10.96.0.1", 53, "10.0.0.2"),
        flow("10.96.0.1", 53, "10.96.0.1", 53),
        flow("10.96.0.1", 54, "10.0.0.1"),
        flow("192.168.77.1", 30053, "10.0.0.1"),
        flow("8.8.8.8", 30053, "8.8.8.8", 30053),
    ]
    conntrack = FakeConntrack(flows)
    old, new = rules("10.0.0.1", "10.0.0.2", node_port=30053), rules("10.0.0.2", node_port=30053)
    assert cut(conntrack, stale(old, new), NODE) == 3
    assert conntrack.known == [flows[1], flows[3], flows[5]]


def test_many_frontends_are_looked_for_in_one_dump() -> None:
    several = [rules("10.0.0.1", ip=f"10.96.0.{number}") for number in range(1, 40)]
    conntrack = FakeConntrack([flow(f"10.96.0.{n}", 53, "10.0.0.9") for n in range(1, 40)])
    assert cut(conntrack, everything(several), NODE) == 39


def test_flows_to_an_endpoint_that_went_wait_for_no_look() -> None:
    old, new = rules("10.0.0.1", "10.0.0.2", node_port=30053), rules("10.0.0.2", node_port=30053)
    assert urgent(stale(old, new)) == [
        Leading(4, "10.96.0.1", 53, "10.0.0.1", 8080),
        Leading(4, "", 30053, "10.0.0.1", 8080),
    ]
    assert urgent(stale(new, rules(node_port=30053))) == [
        Leading(4, "10.96.0.1", 53),
        Leading(4, "", 30053, "10.0.0.2", 8080),
    ]
    assert urgent(stale(None, new)) == []


def test_many_endpoints_that_went_at_once_are_found_by_one_look() -> None:
    several = [f"10.0.0.{number}" for number in range(1, 20)]
    found = stale(rules(*several), rules(several[0]))
    assert urgent(found) == []
    conntrack = FakeConntrack([flow("10.96.0.1", 53, ip) for ip in several])
    assert cut(conntrack, found, NODE) == 18


def test_a_kernel_that_forgets_nothing_unseen_loses_no_flow_and_keeps_none() -> None:
    conntrack = FakeConntrack(
        [flow("10.96.0.1", 53, "10.0.0.1"), flow("10.96.0.1", 53, "10.0.0.2")]
    )
    conntrack.old = True
    assert cut(conntrack, stale(rules("10.0.0.1", "10.0.0.2"), rules("10.0.0.2")), NODE) == 1
    assert [one.answering for one in conntrack.known] == ["10.0.0.2"]


def marked(*frontends: tuple[str, int], serving: str = "10.0.0.1") -> list[Stale]:
    return [
        Stale(Frontend(4, ip, "udp", port), frozenset({(serving, 8080)})) for ip, port in frontends
    ]


@pytest.mark.parametrize(
    ("frontends", "looks"),
    [
        # A cluster IP, balancers, external addresses; and a node port beside them.
        ([(f"10.96.0.{n}", 53) for n in range(9)], 1),
        ([*((f"10.96.0.{n}", 53) for n in range(9)), ("", 30053)], 2),
        # Several ports of one Service.
        ([("10.96.0.1", port) for port in range(50, 59)], 1),
        ([("10.96.0.1", 53), ("10.96.0.1", 54), ("", 30053), ("", 30054)], 3),
        # Services that have nothing in common.
        ([(f"10.96.0.{n}", n) for n in range(1, 5)], 4),
        ([(f"10.96.0.{n}", n) for n in range(1, 200)], 1),
    ],
)
def test_several_frontends_cost_few_looks_however_many_connections_there_are(
    frontends: list[tuple[str, int]], looks: int
) -> None:
    conntrack = FakeConntrack(
        [flow(ip or "192.168.77.1", port, "10.0.0.9") for ip, port in frontends]
    )
    conntrack.others = 1_000_000
    assert cut(conntrack, marked(*frontends), NODE) == len(frontends)
    assert conntrack.looks == looks


PLACES = st.tuples(
    st.sampled_from(("", "10.96.0.1", "10.96.0.2", "192.168.77.1")), st.integers(50, 53)
)
FLOWS = st.builds(
    flow,
    st.sampled_from(("10.96.0.1", "10.96.0.2", "192.168.77.1", "8.8.8.8")),
    st.integers(50, 53),
    st.sampled_from(("10.0.0.1", "10.0.0.2", "8.8.8.8")),
)


@given(
    frontends=st.lists(PLACES, min_size=1, max_size=9, unique=True),
    flows=st.lists(FLOWS, unique=True),
    others=st.sampled_from((0, 10_000, 10_000_000)),
)
def test_what_is_cut_does_not_depend_on_how_it_is_looked_for(
    frontends: list[tuple[str, int]], flows: list[Flow], others: int
) -> None:
    conntrack = FakeConntrack(flows)
    conntrack.others = others
    cut(conntrack, marked(*frontends), NODE)
    assert conntrack.looks <= SHARE + 1
    asked = {one.frontend: one.serving for one in marked(*frontends)}
    assert conntrack.known == [one for one in flows if not leads_nowhere(one, asked)]


def leads_nowhere(found: Flow, asked: dict[Frontend, frozenset[tuple[str, int]]]) -> bool:
    exact = asked.get(Frontend(4, found.destination, "udp", found.destination_port))
    node_port = asked.get(Frontend(4, "", "udp", found.destination_port))
    if exact is not None:
        return (found.answering, found.answering_port) not in exact
    ours = found.answering != found.destination or found.destination in NODE
    return (
        node_port is not None and ours and (found.answering, found.answering_port) not in node_port
    )
