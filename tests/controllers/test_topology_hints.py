from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.controllers.topology_hints import assign, ratios


def node(zone: str, cpu: str = "4", *, ready: bool = True) -> Json:
    return {
        "metadata": {"labels": {"topology.kubernetes.io/zone": zone} if zone else {}},
        "status": {
            "allocatable": {"cpu": cpu},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def in_zones(text: str) -> list[Json]:
    return [{"zone": zone} for zone in text]


def test_zones_count_by_their_processors() -> None:
    parts = ratios([node("a", "6"), node("b", "1"), node("b", "1"), node("c", ready=False)])
    assert parts == {"a": 0.75, "b": 0.25}


def test_a_node_that_does_not_tell_its_zone_ends_it() -> None:
    assert ratios([node("a"), node("")]) is None


def test_endpoints_where_they_belong_stay_there() -> None:
    zones, why = assign(in_zones("aabb"), {"a": 0.5, "b": 0.5})
    assert (zones, why) == (["a", "a", "b", "b"], "")


def test_a_zone_with_too_many_gives_some_away() -> None:
    zones, _ = assign(in_zones("aaaaab"), {"a": 0.5, "b": 0.5})
    assert Counter(zones) == {"a": 3, "b": 3}
    assert zones[5] == "b"


def test_an_odd_one_would_overload_a_zone() -> None:
    zones, why = assign(in_zones("aabbb"), {"a": 0.5, "b": 0.5})
    assert zones == []
    assert "overload threshold (5 endpoints, 2 zones)" in why


def test_endpoints_in_a_zone_without_nodes_stay_in_it() -> None:
    zones, why = assign(in_zones("aabbxx"), {"a": 0.5, "b": 0.5})
    assert (zones, why) == (list("aabbxx"), "")


def test_too_few_endpoints_get_no_hints() -> None:
    zones, why = assign(in_zones("a"), {"a": 0.5, "b": 0.5})
    assert zones == []
    assert why == "Insufficient number of endpoints (1 endpoints, 2 zones)"


def test_nodes_of_one_zone_tell_too_little() -> None:
    _, why = assign(in_zones("aaa"), {"a": 1.0})
    assert why.startswith("Insufficient Node information: allocatable CPU or zone not specified")


@given(st.text("abc", min_size=3, max_size=40), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_no_zone_lacks_more_than_one_of_what_it_needs(zones: str, weights: list[int]) -> None:
    total = sum(weights)
    parts = {zone: weight / total for zone, weight in zip("abc", weights, strict=True)}
    found, why = assign(in_zones(zones), parts)
    if why:
        return
    held = Counter(found)
    for zone, part in parts.items():
        # As upstream, whose shares are whole endpoints: the last gift may miss a zone.
        assert held[zone] >= math.ceil(part * len(zones) / 1.2) - 1
