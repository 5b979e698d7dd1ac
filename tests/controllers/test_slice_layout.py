from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.controllers.slice_layout import Layout, Wish, identity, layout, ports_key

PORTS = ({"name": "http", "port": 80, "protocol": "TCP"},)
OTHER = ({"name": "http", "port": 81, "protocol": "TCP"},)
MOST = 4


def endpoint(number: int, *, ready: bool = True) -> Json:
    return {"addresses": [f"10.0.0.{number}"], "conditions": {"ready": ready}}


def wish(endpoints: list[Json], ports: tuple[Json, ...] = PORTS) -> dict[str, Wish]:
    return {ports_key(ports): Wish(ports, {identity(e): e for e in endpoints})} if endpoints else {}


def slice_of(name: str, endpoints: list[Json], ports: tuple[Json, ...] = PORTS) -> Json:
    return {"metadata": {"name": name}, "ports": list(ports), "endpoints": endpoints}


def content(plan: Layout) -> list[list[Json]]:
    """What all slices hold once the plan is done."""
    return [
        *(endpoints for _, endpoints in plan.create),
        *(endpoints for _, endpoints in plan.update),
        *(item["endpoints"] for item in plan.keep),
    ]


NUMBERS = st.sets(st.integers(1, 30), max_size=14)


@given(before=st.lists(NUMBERS, max_size=4), wanted=NUMBERS)
def test_every_endpoint_ends_in_exactly_one_slice(before: list[set[int]], wanted: set[int]) -> None:
    existing = [
        slice_of(str(n), [endpoint(i) for i in sorted(s)[:MOST]]) for n, s in enumerate(before)
    ]
    plan = layout(existing, wish([endpoint(n) for n in sorted(wanted)]), MOST)
    held = content(plan)
    assert all(len(endpoints) <= MOST for endpoints in held)
    found = sorted(identity(e) for endpoints in held for e in endpoints)
    assert found == sorted(identity(endpoint(n)) for n in wanted)
    named = [item["metadata"]["name"] for item in (*plan.delete, *plan.keep)]
    named += [item["metadata"]["name"] for item, _ in plan.update]
    assert sorted(named) == sorted(item["metadata"]["name"] for item in existing)


@given(wanted=NUMBERS)
def test_what_is_right_already_is_left_alone(wanted: set[int]) -> None:
    endpoints = [endpoint(n) for n in sorted(wanted)]
    first = layout([], wish(endpoints), MOST)
    existing = [slice_of(str(n), held) for n, held in enumerate(content(first))]
    again = layout(existing, wish(endpoints), MOST)
    assert not again.create
    assert not again.update
    assert not again.delete


def test_one_endpoint_that_changes_writes_one_slice() -> None:
    existing = [slice_of("a", [endpoint(n) for n in (1, 2, 3, 4)]), slice_of("b", [endpoint(5)])]
    plan = layout(existing, wish([endpoint(n, ready=n != 5) for n in range(1, 6)]), MOST)
    assert [(item["metadata"]["name"], e) for item, e in plan.update] == [
        ("b", [endpoint(5, ready=False)])
    ]
    assert [item["metadata"]["name"] for item in plan.keep] == ["a"]


def test_a_new_endpoint_goes_into_the_fullest_slice_with_room() -> None:
    existing = [slice_of("a", [endpoint(1)]), slice_of("b", [endpoint(2), endpoint(3)])]
    plan = layout(existing, wish([endpoint(n) for n in (1, 2, 3, 4)]), MOST)
    assert [item["metadata"]["name"] for item, _ in plan.update] == ["b"]
    assert not plan.create


def test_other_ports_mean_other_slices() -> None:
    existing = [slice_of("a", [endpoint(1)])]
    plan = layout(existing, wish([endpoint(1)], OTHER), MOST)
    assert [item["metadata"]["name"] for item in plan.delete] == ["a"]
    assert plan.create == [(OTHER, [endpoint(1)])]
