"""Custom resources: what a definition's schema does to objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.resources.custom import versions
from sampan.resources.custom.versions import CustomVersion

SPEC: Json = {
    "type": "object",
    "required": ["name"],
    "x-kubernetes-validations": [
        {"rule": "self.size < 5", "messageExpression": "'too big: ' + string(self.size)"},
        {"rule": "self.name == oldSelf.name", "message": "the name stays", "fieldPath": ".name"},
    ],
    "properties": {
        "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
        "size": {"type": "integer", "default": 3, "maximum": 10},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": {"type": "integer"}, "proto": {"default": "TCP"}},
            },
        },
        "when": {"type": "string", "format": "date-time"},
        "either": {"x-kubernetes-int-or-string": True},
        "color": {"type": "string", "enum": ["red", "green"]},
        "maybe": {"type": "string", "nullable": True},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def definition(**version: Any) -> Json:
    schema = {"type": "object", "properties": {"spec": copy.deepcopy(SPEC)}}
    v1 = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "ws", "kind": "W", "singular": "w", "listKind": "WList"}
    spec = {"group": "x.com", "scope": "Namespaced", "names": names, "versions": [v1 | version]}
    return {"metadata": {"name": "ws.x.com"}, "spec": spec}


@pytest.fixture(scope="module")
def custom() -> CustomVersion:
    return versions.served(definition())[0]


def made(custom: CustomVersion, **spec: Any) -> Json:
    obj = {"apiVersion": "x.com/v1", "kind": "W", "metadata": {"name": "a"}, "spec": spec}
    return custom.read(obj).obj


def faults(custom: CustomVersion, old: Json | None = None, **spec: Any) -> list[str]:
    errors = custom.resource.validate(made(custom, **spec), old, "")
    return [str(error) for error in errors]


def test_unknown_fields_are_dropped_and_named(custom: CustomVersion) -> None:
    found = custom.read(
        {"metadata": {"name": "a", "odd": 1}, "spec": {"x": 1, "ports": [{"port": 1, "y": 2}]}}
    )
    assert found.unknown == ("metadata.odd", "spec.ports[0].y", "spec.x")
    assert "x" not in found.obj["spec"]
    assert found.obj["spec"]["ports"] == [{"port": 1, "proto": "TCP"}]


def test_what_the_schema_preserves_stays(custom: CustomVersion) -> None:
    assert made(custom, any={"z": [1]}, labels={"a": "b"})["spec"] == {
        "any": {"z": [1]}, "labels": {"a": "b"}, "size": 3,
    }  # fmt: skip


def test_null_counts_as_absent_unless_it_may_be_null(custom: CustomVersion) -> None:
    assert made(custom, size=None, color=None, maybe=None)["spec"] == {"size": 3, "maybe": None}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "spec.name: Required value"),
        ({"name": "A"}, 'spec.name: Invalid value: "A": spec.name in body should be at least 2'
                        " chars long"),
        ({"name": "A1"}, "spec.name: Invalid value: \"A1\": spec.name in body should match"
                         " '^[a-z]+$'"),
        ({"name": "ab", "size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must'
                                      ' be of type integer: "string"'),
        ({"name": "ab", "size": 11}, "spec.size: Invalid value: 11: spec.size in body should be"
                                     " less than or equal to 10"),
        ({"name": "ab", "color": "blue"}, 'spec.color: Unsupported value: "blue": supported values:'
                                          ' "red", "green"'),
        ({"name": "ab", "when": "soon"}, 'spec.when: Invalid value: "soon": spec.when in body must'
                                         ' be of type date-time: "soon"'),
        ({"name": "ab", "either": 1.5}, 'spec.either: Invalid value: "number": spec.either in body'
                                        ' must be of type integer,string: "number"'),
        ({"name": "ab", "tags": ["x", "y", "x"]}, 'spec.tags[2]: Duplicate value: "x"'),
        ({"name": "ab", "ports": [{"port": 1}, {"port": 1}]},
         'spec.ports[1]: Duplicate value: {"port":1}'),
        ({"name": "ab", "labels": {"a": 1}}, 'spec.labels.a: Invalid value: "integer":'
                                             ' spec.labels.a in body must be of type string:'
                                             ' "integer"'),
        ({"name": "ab", "size": 7}, 'spec: Invalid value: too big: 7'),
    ],
)  # fmt: skip
def test_a_fault_reads_as_upstream_says_it(custom: CustomVersion, spec: Json, says: str) -> None:
    assert says in faults(custom, **spec)


def test_rules_are_not_run_on_an_object_that_would_mislead_them(custom: CustomVersion) -> None:
    assert any("some validation rules were not checked" in text for text in faults(custom, size=7))


def test_a_rule_about_the_old_value_runs_on_updates_only(custom: CustomVersion) -> None:
    old = made(custom, name="ab")
    assert not faults(custom, name="xy")
    assert faults(custom, old, name="xy") == ["spec.name: Invalid value: the name stays"]


def test_what_did_not_change_is_not_complained_of(custom: CustomVersion) -> None:
    old = made(custom, name="A", color="blue")
    assert not faults(custom, old, name="A", color="blue", labels={"a": "b"})


def test_columns_come_from_paths() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Since", "type": "date", "jsonPath": ".spec.when"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags[*]", "priority": 1},
    ]
    custom = versions.served(definition(additionalPrinterColumns=columns))[0]
    obj = made(custom, when="2026-01-01T00:00:00Z", tags=["a", "b"])
    row = [column.cell(obj, 1767225600.0 + 90) for column in custom.resource.columns]
    assert row == ["a", 3, "90s", "a"]


def test_scale_and_selectable_fields_follow_the_definition() -> None:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"}
    custom = versions.served(
        definition(
            subresources={"status": {}, "scale": scale},
            selectableFields=[{"jsonPath": ".spec.color"}],
        )
    )[0]
    assert [sub.name for sub in custom.resource.subresources] == ["status", "scale"]
    assert custom.scale is not None
    assert custom.scale.replicas == ("spec", "size")
    assert custom.resource.fields["spec.color"](made(custom, color="red")) == "red"


def test_other_versions_are_kept_as_the_storage_version() -> None:
    crd = definition()
    crd["spec"]["versions"].append(
        {"name": "v1beta1", "served": True, "storage": False, "deprecated": True}
    )
    old = versions.served(crd)[1].resource
    assert old.storage is not None
    assert old.storage.version == "v1"
    assert old.to_storage({"apiVersion": "x.com/v1beta1"}) == {"apiVersion": "x.com/v1"}
    assert old.deprecated == "x.com/v1beta1 W is deprecated; use x.com/v1 W"


def test_versions_are_ordered_as_in_discovery() -> None:
    names = ["v1alpha1", "foo", "v2beta1", "v1", "v10", "v11alpha2"]
    wanted = ["v10", "v1", "v2beta1", "v11alpha2", "v1alpha1", "foo"]
    assert sorted(names, key=versions.priority) == wanted
