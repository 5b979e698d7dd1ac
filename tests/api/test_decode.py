"""Decoding: what upstream answered is already in the form that we decode into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import schema
from sampan.api.decode import decode, normal
from sampan.api.leaves import DecodeError, base64_bytes, microtime, time

RECORDED = Path(__file__).parent.parent / "recorded" / "api"
STANDS_FOR = {
    "<uid>": "0a1b2c3d-0000-4000-8000-000000000000",
    "<time>": "2026-01-01T00:00:00Z",
    "<microtime>": "2026-01-01T00:00:00.000000Z",
    "<nodePort>": 30000,
    "<healthCheckNodePort>": 30001,
}


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    return STANDS_FOR.get(value, value) if isinstance(value, str) else value


def recorded_objects() -> Iterator[tuple[str, dict[str, Any], str]]:
    """(where, object, its struct) of every answer that is an object of a built-in kind."""
    for path in sorted(RECORDED.glob("*/*.yaml")):
        steps = yaml.load(path.read_text(), yaml.CSafeLoader).get("steps", [])
        for number, step in enumerate(steps):
            body = (step.get("expect") or {}).get("body")
            if not isinstance(body, dict) or "kind" not in body:
                continue
            if "body/metadata" in step.get("ignore", ()):
                continue  # no whole object
            group, _, version = body.get("apiVersion", "").rpartition("/")
            shape = schema.by_gvk(group, version, body["kind"])
            if shape is not None:
                yield f"{path.stem}[{number}]", filled(body), shape.name


def test_recorded_objects_are_left_as_they_are() -> None:
    seen = 0
    for where, body, name in recorded_objects():
        decoded = decode(body, name)
        if "status" not in body:
            decoded.obj.pop("status", None)
        assert decoded.unknown == (), where
        assert decoded.obj == body, where
        seen += 1
    assert seen > 200


def test_unknown_fields_are_named_with_their_path_and_dropped() -> None:
    got = decode({"spec": {"selctor": {}, "ports": [{"port": 80, "prt": 1}]}}, "core.v1.Service")
    assert got.unknown == ("spec.selctor", "spec.ports[0].prt")
    assert got.complaints[0] == 'unknown field "spec.selctor"'
    assert got.obj["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 0}]


REFUSED = [
    ({"spec": {"ports": {"port": 80}}}, "core.v1.Service",
     "~ object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort"),
    ({"spec": {"ports": [{"port": "80"}]}}, "core.v1.Service",
     "~ string into Go struct field "
     "ServicePort.spec.ports.port of type int32"),
    ({"spec": {"ports": [{"port": 99999999999}]}}, "core.v1.Service",
     "~ number 99999999999 into Go struct field "
     "ServicePort.spec.ports.port of type int32"),
    ({"spec": {"ports": [{"port": 80.0}]}}, "core.v1.Service",
     "~ number 80.0 into Go struct field "
     "ServicePort.spec.ports.port of type int32"),
    ({"metadata": {"name": True}}, "core.v1.ConfigMap",
     "~ bool into Go struct field ObjectMeta.metadata.name of type string"),
    ({"data": {"a": 1}}, "core.v1.ConfigMap",
     "~ number into Go struct field ConfigMap.data of type string"),
    ({"data": []}, "core.v1.ConfigMap",
     "~ array into Go struct field ConfigMap.data of type map[string]string"),
    ({"binaryData": {"a": "abc*"}}, "core.v1.ConfigMap", "illegal base64 data at input byte 3"),
    ({"spec": {"maxUnavailable": True}}, "policy.v1.PodDisruptionBudget",
     "~ bool into Go struct field "
     "PodDisruptionBudgetSpec.spec.maxUnavailable of type int32"),
    ({"spec": {"renewTime": "2001-02-03T04:05:06Z"}}, "coordination.v1.Lease",
     'parsing time "2001-02-03T04:05:06Z" as "2006-01-02T15:04:05.000000Z07:00": '
     'cannot parse "Z" as ".000000"'),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "name", "text"), REFUSED)
def test_wrong_types_are_refused_in_gos_words(obj: Any, name: str, text: str) -> None:
    text = text.replace("~", "json: cannot unmarshal")
    with pytest.raises(DecodeError) as caught:
        decode(obj, name)
    assert str(caught.value) == text


def test_nulls_and_empty_values_vanish_where_go_omits_them() -> None:
    got = normal(
        {
            "metadata": {"creationTimestamp": None, "labels": {}, "annotations": None},
            "spec": {"hostNetwork": False, "automountServiceAccountToken": False, "containers": []},
        },
        "core.v1.Pod",
    )
    assert got == {
        "metadata": {},
        "spec": {"automountServiceAccountToken": False, "containers": None},
        "status": {},
    }


def test_a_null_element_becomes_the_zero_value() -> None:
    assert normal({"data": {"a": None}}, "core.v1.ConfigMap")["data"] == {"a": ""}


def test_times_are_utc_and_whole_seconds() -> None:
    assert time("2026-01-02T03:04:05.678+02:00") == "2026-01-02T01:04:05Z"
    assert microtime("2026-01-02T03:04:05.678901+02:00") == "2026-01-02T01:04:05.678901Z"


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(DecodeError, match='cannot parse "soon" as "2006"'):
        time("soon")
    with pytest.raises(DecodeError, match="out of range"):
        time("2026-13-02T03:04:05Z")


@given(st.binary())
def test_bytes_come_back_as_they_were(raw: bytes) -> None:
    import base64

    text = base64.b64encode(raw).decode()
    assert base64_bytes(text) == text
    assert base64_bytes("\n".join(text)) == text


def test_every_struct_of_the_tables_can_be_built_and_filled() -> None:
    from sampan.api import facts

    for package in facts.shape_packages():
        for name in facts.load(f"shapes/{package}"):
            once = normal({}, f"{package}.{name}")
            assert normal(once, f"{package}.{name}") == once, name
