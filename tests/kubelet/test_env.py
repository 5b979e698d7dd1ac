"""Environment variables: references, expansion, Service variables."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.kubelet.env import BadReference, Sources, environment, expand, service_variables
from sampan.kubelet.fieldpaths import PodFacts, UnknownField, field_value, resource_value

POD: Json = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": "2", "a": 'x"y'},
                 "annotations": {"k": "v"}},
    "spec": {"serviceAccountName": "sa", "containers": [
        {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}}]},
}  # fmt: skip
FACTS = PodFacts("n1", ("10.0.0.1", "fd::1"), ("10.244.0.2",), {"cpu": "4", "memory": "8Gi"})
OBJECTS: dict[tuple[str, str], Json] = {
    ("ConfigMap", "cm"): {"kind": "ConfigMap", "data": {"a": "1", "b": "two"},
                          "binaryData": {"bin": base64.b64encode(b"x").decode()}},
    ("Secret", "s"): {"kind": "Secret", "data": {"p": base64.b64encode(b"pass").decode()}},
}  # fmt: skip


def env(container: Json, services: dict[str, str] | None = None) -> dict[str, str]:
    sources = Sources(POD, FACTS, lambda kind, name: OBJECTS.get((kind, name)), services or {})
    return environment({"name": "c", **container}, sources)


def test_later_entries_win_and_may_use_earlier_ones() -> None:
    found = env(
        {
            "envFrom": [{"configMapRef": {"name": "cm"}}],
            "env": [
                {"name": "a", "value": "own"},
                {"name": "D", "value": "$(a)-$(b)-$(SVC)-$(NONE)-$$(a)"},
            ],
        },
        {"SVC": "10.96.0.1", "a": "svc"},
    )
    assert found["a"] == "own"
    assert found["b"] == "two"
    assert found["D"] == "own-two-10.96.0.1-$(NONE)-$(a)"
    assert found["SVC"] == "10.96.0.1"


@pytest.mark.parametrize(
    ("text", "want"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(A", "$(A"), ("$", "$"), ("$A", "$A"), ("a$(A)b", "a1b"),
     ("$(B)", "$(B)"), ("$$$(A)", "$1")],
)  # fmt: skip
def test_expansion(text: str, want: str) -> None:
    assert expand(text, {"A": "1"}) == want


def test_references_to_keys_fields_and_resources() -> None:
    refs: dict[str, Any] = {
        "CM": {"configMapKeyRef": {"name": "cm", "key": "b"}},
        "SECRET": {"secretKeyRef": {"name": "s", "key": "p"}},
        "NODE": {"fieldRef": {"fieldPath": "spec.nodeName"}},
        "IPS": {"fieldRef": {"fieldPath": "status.hostIPs"}},
        "LABEL": {"fieldRef": {"fieldPath": "metadata.labels['b']"}},
        "CPU": {"resourceFieldRef": {"resource": "limits.cpu"}},
        "MILLI": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}},
        "ASKED": {"resourceFieldRef": {"resource": "requests.memory"}},
        "GONE": {"configMapKeyRef": {"name": "none", "key": "b", "optional": True}},
    }
    entries = [{"name": name, "valueFrom": ref} for name, ref in refs.items()]
    found = env({**POD["spec"]["containers"][0], "env": entries})
    assert found == {
        "CM": "two", "SECRET": "pass", "NODE": "n1", "IPS": "10.0.0.1,fd::1", "LABEL": "2",
        "CPU": "2", "MILLI": "1500", "ASKED": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]},
         'configmap "no" not found'),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]},
         "couldn't find key k in ConfigMap ns/cm"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(container: Json, text: str) -> None:
    with pytest.raises(BadReference, match=text):
        env(container)


def test_prefix_of_a_whole_object() -> None:
    found = env({"envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}]})
    assert found == {"P_p": "pass"}


def test_service_variables_have_both_forms() -> None:
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [
            {"name": "sql-main", "port": 5432}, {"port": 53, "protocol": "UDP"}]},
    }  # fmt: skip
    headless = {
        "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    }
    found = service_variables([service, headless])
    assert found == {
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL_MAIN": "5432",
        "MY_DB_PORT": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.7",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.7",
    }


def test_labels_as_a_file() -> None:
    assert field_value(POD, "metadata.labels", FACTS) == 'a="x\\"y"\nb="2"'
    assert field_value(POD, "metadata.annotations['none']", FACTS) == ""
    with pytest.raises(UnknownField):
        field_value(POD, "spec.containers", FACTS)


def test_a_container_without_a_limit_may_use_the_node() -> None:
    wanted = {"resource": "limits.memory", "divisor": "1Mi"}
    assert resource_value(POD, wanted, FACTS, default={"name": "x"}) == "8192"
    assert resource_value(POD, {**wanted, "containerName": "c"}, FACTS) == "64"
    with pytest.raises(UnknownField):
        resource_value(POD, {**wanted, "containerName": "none"}, FACTS)
