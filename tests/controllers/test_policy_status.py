"""What the status of a ValidatingAdmissionPolicy says about its expressions."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers.validatingadmissionpolicystatus import Served
from sampan.resources.admissionregistration import typecheck

WIDGETS: Json = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "size": {"type": "integer"},
                    "port": {"x-kubernetes-int-or-string": True},
                    "my-name": {"type": "string"},
                }},
            }}},
        }],
    },
}  # fmt: skip


def policy(expression: str, group: str = "apps", *resources: str, **spec: Any) -> Json:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": resources or ["deployments"]}
    return {
        "metadata": {"name": "p", "generation": 2},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression}],
            **spec,
        },
    }


def told(found: Json) -> list[str]:
    """The first line of each complaint, without its place."""
    warnings = typecheck.warnings(found, Served([WIDGETS]))
    lines = [line for each in warnings for line in each["warning"].split("\n")]
    return [
        line.partition("ERROR: <input>:")[2].partition(" ")[2] for line in lines if "ERR" in line
    ]


OVERLOAD = "found no matching overload for"
CASES = [
    ("object.replicas > 1", "undefined field 'replicas'"),
    ("object.spec.replicas > '1'", f"{OVERLOAD} '_>_' applied to '(int, string)'"),
    ("object.spec.replicas.startsWith('x')", f"{OVERLOAD} 'startsWith' applied to 'int.(string)'"),
    ("object.metadata.labels == 3", f"{OVERLOAD} '_==_' applied to '(map(string, string), int)'"),
    ("object.spec.replicas == null", f"{OVERLOAD} '_==_' applied to '(int, null)'"),
    ("size(object.spec.replicas) > 1", f"{OVERLOAD} 'size' applied to '(int)'"),
    ("'a' in object.spec.replicas", f"{OVERLOAD} '@in' applied to '(string, int)'"),
    ("!object.spec.replicas", f"{OVERLOAD} '!_' applied to '(int)'"),
    ("object.spec.template.spec.containers.all(c, c.name == 1)",
     f"{OVERLOAD} '_==_' applied to '(string, int)'"),
    ("request.userInfo.nick == 'a'", "undefined field 'nick'"),
    ("namespaceObject.metadata.uid == 'a'", "undefined field 'uid'"),
    ("object.metadata.creationTimestamp > 1", f"{OVERLOAD} '_>_' applied to '(timestamp, int)'"),
    ("oldObject == null || object.spec == null", ""),
    ("object.spec.template.spec.containers[0].resources.limits['cpu'] == 1",
     "undefined field 'limits'"),
    ("object.spec.template.spec.containers['a'] == 1",
     f"{OVERLOAD} '_[_]' applied to '(list(Deployment.spec.template.spec.containers.@idx), string)'"
    ),
    ("quantity(object.spec.replicas) == quantity('1')",
     f"{OVERLOAD} 'quantity' applied to '(int)'"),
    ("object.metadata.managedFields[0].fieldsV1.foo == 1", "undefined field 'foo'"),
    ("object.spec.strategy.rollingUpdate.maxSurge == 1", ""),
    ("object.spec.replicas", ""),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "complaint"), CASES)
def test_an_expression_is_checked_against_the_matched_kind(expression: str, complaint: str) -> None:
    assert told(policy(expression)) == ([complaint] if complaint else [])


def test_each_matched_kind_is_told_in_order_as_cel_prints_it() -> None:
    found = policy("object.foo", "apps", "deployments", "daemonsets", "daemonsets/status", "*")
    (warning,) = typecheck.warnings(found, Served(()))
    assert warning == {
        "fieldRef": "spec.validations[0].expression",
        "warning": (
            "apps/v1, Kind=DaemonSet: ERROR: <input>:1:7: undefined field 'foo'\n"
            " | object.foo\n | ......^\n\n"
            "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'foo'\n"
            " | object.foo\n | ......^\n"
        ),
    }


def test_custom_kinds_parameters_and_variables_are_known() -> None:
    widgets = ("example.com", "widgets")
    assert told(policy("object.spec.size > 'a'", *widgets))
    assert told(policy("object.spec.sise > 1", *widgets)) == ["undefined field 'sise'"]
    fine = "object.spec.my__dash__name == 'a' && object.spec.port == 1 && has(object.metadata.uid)"
    assert told(policy(fine, *widgets)) == []
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert told(policy("params.data.a == 1", paramKind=kind))
    assert told(policy("params.data.a == '1'", paramKind=kind)) == []
    variables = [{"name": "n", "expression": "object.spec.replicas"}]
    assert told(policy("variables.n == 'a'", variables=variables))
    assert told(policy("object.foo", "*")) == []
    assert told(policy("object.foo", "nowhere.example.com")) == []


def test_each_generation_is_checked_once_and_observed(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CUSTOMRESOURCEDEFINITIONS, WIDGETS)
        world.api.put(
            kinds.VALIDATINGADMISSIONPOLICIES, policy("object.spec.x", "example.com", "widgets")
        )
        await world.settle()
        (found,) = world.api.all(kinds.VALIDATINGADMISSIONPOLICIES)
        assert found["status"]["observedGeneration"] == 2
        (warning,) = found["status"]["typeChecking"]["expressionWarnings"]
        assert warning["warning"].startswith("example.com/v1, Kind=Widget: ERROR: ")
        before = len(world.api.requests)
        await world.settle(60)
        assert len(world.api.requests) == before
        fixed = policy("object.spec.size > 1", "example.com", "widgets")
        fixed["metadata"]["generation"] = 3
        world.api.put(kinds.VALIDATINGADMISSIONPOLICIES, {**fixed, "status": {}})
        await world.settle()
        (found,) = world.api.all(kinds.VALIDATINGADMISSIONPOLICIES)
        assert not found["status"]["typeChecking"].get("expressionWarnings")

    play(scene, "validatingadmissionpolicy-status-controller")
