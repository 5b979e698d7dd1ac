"""OpenAPI documents: what the tables say comes out again, and clients find what they look for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sampan.api import facts, kinds, schema
from sampan.api.openapi import Published, digest, document, index, swagger
from sampan.api.openapi.schemas import default_of
from sampan.api.resource import Resource, Subresource

TABLE = Path(__file__).parent.parent.parent / "tools" / "facts" / "fields.tsv"

DEPLOYMENTS = Published(
    Resource(
        id=kinds.DEPLOYMENTS,
        schema="io.k8s.api.apps.v1.Deployment",
        subresources=(
            Subresource("status", kinds.DEPLOYMENTS),
            Subresource("scale", kinds.SCALES),
        ),
    )
)
WIDGETS = Published(
    Resource(id=kinds.ResourceId("e.com", "v1", "widgets", "Widget"), schema=""),
    {"type": "object", "properties": {"spec": {"type": "object"}}},
)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_every_reference_has_its_schema() -> None:
    made = document("apps", "v1", [DEPLOYMENTS])
    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert references(made) <= known
    old = swagger([made])
    assert references(old) <= {f"#/definitions/{name}" for name in old["definitions"]}


def test_patches_list_the_four_media_types_and_the_options_that_kubectl_looks_for() -> None:
    made = document("apps", "v1", [DEPLOYMENTS])
    patch = made["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert set(patch["requestBody"]["content"]) == {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= {
        parameter["name"] for parameter in patch["parameters"]
    }
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "kind": "Deployment",
        "version": "v1",
    }
    scale = made["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["get"]["x-kubernetes-group-version-kind"]["kind"] == "Scale"


def test_schemas_carry_the_rules_for_merging_and_applying() -> None:
    parts = document("apps", "v1", [DEPLOYMENTS])["components"]["schemas"]
    ports = parts["io.k8s.api.core.v1.Container"]["properties"]["ports"]
    assert ports["x-kubernetes-list-type"] == "map"
    assert ports["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert ports["x-kubernetes-patch-merge-key"] == "containerPort"
    volumes = parts["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"]
    assert volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert parts["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]


def test_defaults_are_those_of_the_tables() -> None:
    wrong = []
    for line in TABLE.read_text().splitlines()[1:]:
        name, field, _, _, default, *_ = line.split("\t")
        if field == "-":
            continue
        told = None if default == "-" else json.loads(default)
        if default_of(schema.struct(name).fields[field]) != told:
            wrong.append(f"{name}.{field}")
    assert len(wrong) < 12, wrong


def test_custom_kinds_are_published_under_their_reversed_group_without_strategic_patches() -> None:
    made = document("e.com", "v1", [WIDGETS])
    assert "com.e.v1.Widget" in made["components"]["schemas"]
    patch = made["paths"]["/apis/e.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert references(made) <= known


def test_a_digest_changes_with_what_is_published() -> None:
    before = digest([WIDGETS], "1")
    assert before == digest([WIDGETS], "1")
    changed = Published(WIDGETS.resource, {"type": "object"})
    assert before != digest([changed], "1") != digest([changed], "2")
    assert index({"api/v1": "A"}) == {
        "paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=A"}}
    }


CRDS = Published(
    Resource(
        id=kinds.CUSTOMRESOURCEDEFINITIONS,
        schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    )
)


def test_fields_that_are_named_like_words_of_openapi_stay_fields() -> None:
    made = swagger([document("apiextensions.k8s.io", "v1", [CRDS])])
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    fields = made["definitions"][name]["properties"]
    assert {"oneOf", "allOf", "default", "items", "$ref"} <= fields.keys()


def test_the_old_document_can_be_written_as_protobuf() -> None:
    from sampan.api.openapi.gnostic import encode_swagger

    made = swagger([document("apps", "v1", [DEPLOYMENTS]), document("e.com", "v1", [CRDS])])
    data = encode_swagger(made)
    numbers = []
    rest = memoryview(data)
    while rest:
        number, size, at = rest[0] >> 3, 0, 1
        for shift in range(0, 35, 7):
            size |= (rest[at] & 0x7F) << shift
            at += 1
            if rest[at - 1] < 0x80:
                break
        numbers.append(number)
        rest = rest[at + size :]
    assert numbers == [1, 2, 8, 9]
    assert b"io.k8s.api.apps.v1.Deployment" in data


def test_every_shape_can_be_written_down_with_a_description() -> None:
    from sampan.api.openapi.schemas import components

    names = [
        schema.struct(f"{package}.{name}").full_name
        for package in facts.shape_packages()
        for name in facts.load(f"shapes/{package}")
    ]
    for name, body in components(names).items():
        assert body["description"].endswith("."), name
        for field in body.get("properties", {}).values():
            assert field["description"]
