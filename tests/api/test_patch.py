"""JSON, merge and strategic patches: recorded cases, the RFCs' examples, round trips."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.errors import BadRequest, Invalid, Unclassified
from sampan.api.patch import difference, json_patch, merge_patch, merge_patch_of
from sampan.api.strategic import strategic_merge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "c/d", "e~f"]), inner, max_size=4)
    ),
    max_leaves=15,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c/d", "e~f"]), JSON)


def test_every_json_patch_operation_works() -> None:
    before = {"data": {"a": "1", "b": "2", "x/y": "z", "l": [1, 2, 3]}}
    kept = copy.deepcopy(before)
    after = json_patch(
        before,
        [
            {"op": "add", "path": "/data/c", "value": "3"},
            {"op": "replace", "path": "/data/a", "value": "9"},
            {"op": "remove", "path": "/data/b"},
            {"op": "copy", "from": "/data/a", "path": "/data/d"},
            {"op": "move", "from": "/data/c", "path": "/data/e"},
            {"op": "test", "path": "/data/d", "value": "9"},
            {"op": "replace", "path": "/data/x~1y", "value": "w"},
            {"op": "replace", "path": "/data/new", "value": "n"},
            {"op": "add", "path": "/data/l/-", "value": 4},
            {"op": "add", "path": "/data/l/0", "value": 0},
            {"op": "remove", "path": "/data/l/1"},
        ],
    )
    assert after == {
        "data": {"a": "9", "d": "9", "e": "3", "x/y": "w", "new": "n", "l": [0, 2, 3, 4]}
    }
    assert before == kept


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "nope"},
        {"op": "remove", "path": "/data/zzz"},
        {"op": "add", "path": "/nope/deep", "value": 1},
        {"op": "jump", "path": "/data/a"},
        {"op": "add", "path": "data", "value": 1},
        {"op": "replace", "path": "/l/7", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "remove", "path": ""},
    ],
)
def test_what_cannot_be_done_is_refused_as_a_whole(operation: Any) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch({"data": {"a": "1"}, "l": []}, [operation])
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert caught.value.details == {}


def test_a_json_patch_must_be_a_list_and_a_merge_patch_an_object() -> None:
    with pytest.raises(
        BadRequest, match="cannot unmarshal object into Go value of type \\[\\]hand"
    ):
        json_patch({}, {"op": "add"})
    with pytest.raises(BadRequest, match="cannot unmarshal array into Go value"):
        merge_patch_of({}, [])


RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "foo"}, None, None),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7386)
def test_the_examples_of_rfc_7386_hold(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_made_from_a_difference_makes_the_new_object(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    old, new = without_nulls(old), without_nulls(new)
    assert merge_patch(old, difference(old, new)) == new
    assert difference(new, new) == {}


@given(OBJECTS, st.sampled_from(["a", "b", "c/d", "e~f"]), JSON)
def test_what_was_added_can_be_tested_and_removed(obj: dict[str, Any], key: str, new: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    after = json_patch(
        obj,
        [
            {"op": "add", "path": path, "value": new},
            {"op": "test", "path": path, "value": new},
            {"op": "remove", "path": path},
        ],
    )
    assert after == {k: v for k, v in obj.items() if k != key}


def service(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"ports": list(ports)}}


def test_service_ports_are_found_by_their_port_alone() -> None:
    before = service({"name": "a", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 80})
    after = strategic_merge(before, service({"name": "u", "port": 53}), "core.v1.Service")
    assert after == service({"name": "u", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 80})


def test_items_only_the_patch_has_come_first() -> None:
    before = service({"port": 53}, {"port": 80})
    after = strategic_merge(before, service({"port": 90}), "core.v1.Service")
    assert after == service({"port": 90}, {"port": 53}, {"port": 80})


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def test_lists_within_lists_are_merged_in_the_order_of_the_patch() -> None:
    before = pod(containers=[{"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}])
    patch = pod(containers=[{"name": "a", "env": [{"name": "Y"}, {"name": "X", "value": "3"}]}])
    after = strategic_merge(before, patch, "core.v1.Pod")
    assert after == pod(
        containers=[{"name": "a", "env": [{"name": "Y"}, {"name": "X", "value": "3"}]},
                    {"name": "b"}]
    )  # fmt: skip


def test_patch_delete_and_patch_replace_work_on_items() -> None:
    before = pod(containers=[{"name": "a"}, {"name": "b"}])
    gone = strategic_merge(
        before, pod(containers=[{"name": "a", "$patch": "delete"}]), "core.v1.Pod"
    )
    assert gone == pod(containers=[{"name": "b"}])
    new = strategic_merge(
        before, pod(containers=[{"$patch": "replace"}, {"name": "z"}]), "core.v1.Pod"
    )
    assert new == pod(containers=[{"name": "z"}])


def test_patch_replace_works_on_a_map() -> None:
    before = {"metadata": {"labels": {"a": "b"}}}
    after = strategic_merge(
        before, {"metadata": {"labels": {"$patch": "replace", "c": "d"}}}, "core.v1.ConfigMap"
    )
    assert after == {"metadata": {"labels": {"c": "d"}}}


def test_set_element_order_reorders_and_keeps_what_only_the_server_has() -> None:
    before = service({"port": 1}, {"port": 2}, {"port": 3})
    patch = {"spec": {"$setElementOrder/ports": [{"port": 3}, {"port": 1}],
                      "ports": [{"port": 2, "$patch": "delete"},
                                {"port": 3, "name": "c"}]}}  # fmt: skip
    after = strategic_merge(before, patch, "core.v1.Service")
    assert after == service({"port": 3, "name": "c"}, {"port": 1})


def test_finalizers_are_a_list_of_words_that_can_be_deleted() -> None:
    before = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"],
                          "$setElementOrder/finalizers": ["c", "a"]}}  # fmt: skip
    after = strategic_merge(before, patch, "core.v1.Pod")
    assert after == {"metadata": {"finalizers": ["c", "a"]}}
    added = strategic_merge(before, {"metadata": {"finalizers": ["d", "a"]}}, "core.v1.Pod")
    assert sorted(added["metadata"]["finalizers"]) == ["a", "b", "c", "d"]


def test_retain_keys_keeps_one_member_of_a_union() -> None:
    before = pod(volumes=[{"name": "v", "emptyDir": {}}])
    patch = pod(volumes=[{"$retainKeys": ["name", "configMap"], "name": "v",
                          "configMap": {"name": "c"}}])  # fmt: skip
    after = strategic_merge(before, patch, "core.v1.Pod")
    assert after == pod(volumes=[{"name": "v", "configMap": {"name": "c"}}])


def test_atomic_lists_and_maps_of_the_schema_behave() -> None:
    before = pod(tolerations=[{"key": "a"}], nodeSelector={"x": "y"})
    after = strategic_merge(
        before, pod(tolerations=[{"key": "b"}], nodeSelector={"z": "w"}), "core.v1.Pod"
    )
    assert after == pod(tolerations=[{"key": "b"}], nodeSelector={"x": "y", "z": "w"})


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(Unclassified, match="does not contain declared merge key: port"):
        strategic_merge(service({"port": 1}), service({"name": "x"}), "core.v1.Service")


PORTS = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 5)}, optional={"name": st.sampled_from("xyz")}),
    unique_by=lambda port: port["port"],
    max_size=5,
)


@given(PORTS, PORTS)
def test_a_strategic_patch_twice_is_the_same_as_once(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    once = strategic_merge(service(*old), service(*new), "core.v1.Service")
    assert strategic_merge(once, service(*new), "core.v1.Service") == once
    ports = {port["port"]: port for port in once["spec"]["ports"]}
    assert ports.keys() == {port["port"] for port in (*old, *new)}
    for port in new:
        assert ports[port["port"]].items() >= port.items()
