"""What is looked at beyond a custom object's own schema."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import FieldError
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.resources.custom import embedded, objects, prune

TEMPLATE: Json = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "set": {
                    "type": "array",
                    "x-kubernetes-list-type": "set",
                    "items": {"type": "string"},
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "phase": {"enum": ["Ready"]}},
        },
    },
}
SCALE: Json = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def custom(status: Json | None = None, **spec: Any) -> Json:
    obj: Json = {"metadata": {"name": "a"}, "spec": spec}
    return obj if status is None else {**obj, "status": status}


def told(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"apiVersion": "v1", "kind": "Pod"}, []),
        ({"kind": "Pod"}, ["spec.apiVersion: Required value"]),
        ({"apiVersion": "v1"}, ["spec.kind: Required value"]),
        (
            {"apiVersion": "", "kind": ""},
            [
                'spec.apiVersion: Invalid value: "": must not be empty',
                'spec.kind: Invalid value: "": must not be empty',
            ],
        ),
        (
            {"apiVersion": "a/b/c", "kind": "Pod"},
            ['spec.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'],
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}},
            ["spec.metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}, "name": ""}},
            [],
        ),
    ],
)
def test_an_embedded_object_is_one(value: Json, says: list[str]) -> None:
    schema = {"properties": {"spec": TEMPLATE}}
    assert told(embedded.validate({"spec": value}, schema)) == says


def test_a_kind_is_a_name_but_for_its_case() -> None:
    [fault] = embedded.validate({"apiVersion": "v1", "kind": "my_pod"}, TEMPLATE)
    assert fault.detail.startswith("may have mixed case, but should otherwise match: a DNS-1035")


def test_embedded_objects_are_found_in_lists_and_maps() -> None:
    lists = {"properties": {"all": {"items": TEMPLATE}}}
    maps = {"properties": {"all": {"additionalProperties": TEMPLATE}}}
    half = {"apiVersion": "v1"}
    assert told(embedded.validate({"all": [half]}, lists)) == ["all[0].kind: Required value"]
    assert told(embedded.validate({"all": {"x": half}}, maps)) == ["all[x].kind: Required value"]


def test_embedded_metadata_that_cannot_be_read_is_named_with_its_place() -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"kind": "A", "metadata": {"name": 5}}}
    with pytest.raises(DecodeError, match=r'^spec\.metadata: Invalid value: \{"name":5\}: json: '):
        prune.prune(obj, {"type": "object", "properties": {"spec": TEMPLATE}})
    obj = {"metadata": {"name": "a"}, "spec": {"kind": 7}}
    with pytest.raises(DecodeError, match=r"^spec\.kind: Invalid value: 7: must be a string$"):
        prune.prune(obj, {"type": "object", "properties": {"spec": TEMPLATE}})


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (custom(replicas=3), []),
        (
            custom(replicas=-1),
            [".spec.replicas: Invalid value: -1: should be a non-negative integer"],
        ),
        (
            custom(replicas=2**31),
            [
                ".spec.replicas: Invalid value: 2147483648: "
                "should be less than or equal to 2147483647"
            ],
        ),
        (
            custom({"replicas": -2}),
            [".status.replicas: Invalid value: -2: should be a non-negative integer"],
        ),
    ],
)
def test_replicas_are_counts(obj: Json, says: list[str]) -> None:
    assert told(objects.judges(SCHEMA, SCALE)[0](obj, None, "")) == says


def test_what_stands_where_replicas_should_be_is_quoted_as_go_prints_it() -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    check = objects.judges(schema, SCALE)[0]
    assert told(check(custom(replicas={"b": 1, "a": [True]}), None, "")) == [
        ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: map[a:[true] b:1] "
        "is of the type map[string]interface {}, expected int64"
    ]
    assert told(check({"spec": "x"}, None, "")) == [
        ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x "
        "is of the type string, expected map[string]interface{}"
    ]


def test_a_write_to_the_status_looks_at_the_status_only() -> None:
    check = objects.judges(SCHEMA, SCALE)[0]
    old = custom(replicas="wrong since the schema changed")
    new = custom({"phase": "Other"}, replicas="wrong since the schema changed")
    assert told(check(new, old, "status")) == [
        'status.phase: Unsupported value: "Other": supported values: "Ready"'
    ]
    assert told(check(custom("Ready"), old, "status"))[0].startswith("status: Invalid value: ")


def test_doubles_in_a_set_are_old_sins_once_they_are_stored() -> None:
    check = objects.judges(SCHEMA, None)[0]
    twice = custom(set=["a", "a"])
    assert told(check(twice, custom(set=["a"]), "")) == ['spec.set[1]: Duplicate value: "a"']
    assert check(custom(set=["a", "a", "b"]), twice, "") == []


def test_added_finalizers_without_a_domain_are_warned_about() -> None:
    lead = 'metadata.finalizers: "{}": prefer a domain-qualified finalizer name{} to avoid '
    lead += "accidental conflicts with other finalizer writers"
    new = {"metadata": {"finalizers": ["x", "a.b", "a.b/c", "orphan", "old"]}}
    old = {"metadata": {"finalizers": ["old"]}}
    assert objects.warnings(new, old) == [
        lead.format("a.b", " including a path (/)"),
        lead.format("x", ""),
    ]
