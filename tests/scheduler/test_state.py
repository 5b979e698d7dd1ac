"""The cached sums are always what counting everything anew would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.scheduler.state import ClusterState
from sampan.scheduler.terms import PodTerm
from tests.scheduler.clusters import node, pod

NAMES = st.sampled_from([f"p{n}" for n in range(6)])
NODES = st.sampled_from(["n1", "n2", "n3"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), NAMES, NODES, st.sampled_from(["web", "db"])),
        st.tuples(st.just("displace"), NAMES, NODES, st.just("")),
        st.tuples(st.just("node"), NAMES, NODES, st.just("")),
        st.tuples(st.just("gone"), NAMES, NODES, st.just("")),
    ),
    max_size=25,
)
TERM = PodTerm("zone", selectors.parse("app=web"), frozenset(("d",)))


@given(STEPS)
def test_sums_follow_every_change(steps: list[tuple[str, str, str, str]]) -> None:
    state = ClusterState()
    web, some = selectors.parse("app=web"), selectors.parse("app")
    state.matching((TERM,))  # counted from the beginning
    state.in_namespace("d", web)
    state.in_namespace("d", some)
    for action, name, where, app in steps:
        view = pod(name, {"app": app}, requests={"cpu": "100m"})
        if action == "place":
            state.place(view, where)
        elif action == "displace":
            state.displace(view.key)
        elif action == "node":
            state.set_node(node(where))
        else:
            state.remove_node(where)
    fresh = ClusterState()
    for name in state.nodes:
        fresh.set_node(node(name))
    for view in state.placed.values():
        fresh.place(view, view.node)
    assert dict(state.matching((TERM,))) == dict(fresh.matching((TERM,)))
    for selector in (web, some):
        counts = fresh.in_namespace("d", selector)
        assert dict(state.in_namespace("d", selector)) == dict(counts)
    for name, found in state.nodes.items():
        assert found.pods.keys() == fresh.nodes[name].pods.keys()
        assert {k: v for k, v in found.used.items() if v} == fresh.nodes[name].used
        assert found.weight == fresh.nodes[name].weight
