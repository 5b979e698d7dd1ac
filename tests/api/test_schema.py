"""Shapes: looked up by name or GVK, or made from a custom kind's OpenAPI."""

from __future__ import annotations

import pytest

from sampan.api import apply as ssa
from sampan.api import schema
from sampan.api.apply import Writer


def test_a_struct_has_one_identity_under_both_its_names() -> None:
    long, short = schema.struct("io.k8s.api.core.v1.Pod"), schema.struct("core.v1.Pod")
    assert long is short
    assert long.full_name == "io.k8s.api.core.v1.Pod"
    assert long.gvk == "core/v1/Pod"


def test_fields_know_their_rules() -> None:
    ports = schema.struct("core.v1.ServiceSpec").fields["ports"].type
    assert (ports.list_type, ports.keys) == ("map", ("port", "protocol"))
    assert (ports.merge, ports.merge_key) == (True, "port")
    assert ports.of.struct.fields["protocol"].default == "TCP"
    spec = schema.struct("core.v1.PodSpec")
    assert spec.fields["restartPolicy"].enum == ("Always", "Never", "OnFailure")
    assert spec.fields["volumes"].type.retain_keys
    assert spec.fields["nodeSelector"].type.atomic
    assert schema.of("meta.v1.LabelSelector").atomic
    assert not schema.struct("core.v1.PersistentVolumeSpec").fields["claimRef"].type.atomic


def test_kinds_are_found_by_group_version_and_kind() -> None:
    found = schema.by_gvk("apps", "v1", "Deployment")
    assert found is not None
    assert found.name == "apps.v1.Deployment"
    assert schema.by_gvk("apps", "v1", "Nothing") is None


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        schema.struct("core.v1.Nothing")


WIDGET = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "limits": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    },
}


def test_custom_kinds_are_applied_by_their_list_and_map_types() -> None:
    kind = schema.from_openapi(WIDGET)

    def config(**spec: object) -> dict[str, object]:
        return {
            "apiVersion": "e.com/v1",
            "kind": "Widget",
            "metadata": {"name": "w"},
            "spec": spec,
        }

    def applied(live: dict[str, object] | None, manager: str, **spec: object) -> dict[str, object]:
        writer = Writer(manager, "e.com/v1", "2026-01-01T00:00:00Z")
        return ssa.apply(live, config(**spec), kind, writer, {})

    one = applied(None, "one", parts=[{"name": "a", "size": 1}], free={"x": {"y": 1}})
    two = applied(one, "two", parts=[{"name": "b"}], free={"x": {"z": 2}}, limits={"l": "m"})
    assert two["spec"] == {
        "parts": [{"name": "a", "size": 1}, {"name": "b"}],
        "free": {"x": {"y": 1, "z": 2}},
        "limits": {"l": "m"},
    }
