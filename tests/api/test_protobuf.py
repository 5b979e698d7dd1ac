"""Protobuf bodies: what is encoded decodes to the same object; foreign bytes do no harm."""

from __future__ import annotations

import base64
import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api import facts, schema
from sampan.api.decode import normal
from sampan.api.leaves import DecodeError
from sampan.api.protobuf import decode_request, encode_object
from sampan.api.schema import Field, Struct, Type


def test_a_namespace_as_kubectl_sends_it() -> None:
    # every non-nullable field is there though empty, the creationTimestamp too
    data = rebuilt(b"\x0a\x04demo\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00")
    obj = decode_request(data, "v1", "Namespace")
    assert normal(obj, "core.v1.Namespace") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "demo"},
        "spec": {},
        "status": {},
    }


def rebuilt(metadata: bytes) -> bytes:
    """An envelope around a Namespace with this metadata."""
    about = b"\x0a\x02v1\x12\x09Namespace"
    raw = b"\x0a" + bytes([len(metadata)]) + metadata + b"\x12\x00\x1a\x00"
    return b"k8s\x00\x0a" + bytes([len(about)]) + about + b"\x12" + bytes([len(raw)]) + raw


def test_unknown_numbers_are_passed_over() -> None:
    extra = b"\xfa\x3e\x03abc\xf8\x3e\x07"  # 1007: bytes, 1007: varint
    obj = decode_request(rebuilt(b"\x0a\x01a" + extra), "v1", "Namespace")
    assert obj["metadata"] == {"name": "a"}


@pytest.mark.parametrize("data", [b"", b"{}", b"k8s\x00\x0a\xff"])
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_request(data, "v1", "Namespace")


@given(st.binary(max_size=60))
def test_broken_bytes_are_refused_and_nothing_worse(noise: bytes) -> None:
    data = rebuilt(b"\x0a\x01a") + noise
    with contextlib.suppress(DecodeError):
        decode_request(data, "v1", "Namespace")


def sample(kind: Type, chance: random.Random, depth: int) -> Any:
    """A value of the type as a client might send it."""
    if kind.kind == "struct":
        return sample_struct(kind.struct, chance, depth - 1)
    if kind.kind == "list":
        return [sample(kind.of, chance, depth - 1) for _ in range(chance.randint(1, 2))]
    if kind.kind == "map":
        return {f"k{n}": sample(kind.of, chance, depth - 1) for n in range(chance.randint(1, 2))}
    number = chance.randint(1, 1000)
    return {
        "string": f"text {number} ü",
        "int32": number - 500,
        "int64": number * 10**12 - 5 * 10**14,
        "double": number / 8,
        "bool": bool(number % 2),
        "bytes": base64.b64encode(bytes([number % 256] * 3)).decode(),
        "time": f"2026-01-02T03:04:{number % 60:02d}Z",
        "microtime": f"2026-01-02T03:04:{number % 60:02d}.{number:06d}Z",
        "quantity": f"{number}m",
        "int-or-string": number if number % 2 else f"{number}%",
        "raw": {"a": number},
        "any": {"type": "string", "description": f"{number}"},
    }[kind.kind]


def sample_struct(shape: Struct, chance: random.Random, depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, field in shape.fields.items():
        if shape.gvk and name in ("kind", "apiVersion"):
            continue  # the envelope's
        if wanted(field, chance, depth):
            out[name] = sample(field.type, chance, depth)
    return out


def wanted(field: Field, chance: random.Random, depth: int) -> bool:
    deep = field.type.kind in ("struct", "list", "map")
    if depth <= 0 and deep:
        return False
    if field.type.kind == "any" and field.name in ("enum", "subresources", "status"):
        return False
    return chance.random() < 0.5


KINDS = [
    (body["gvk"], f"{package}.{name}")
    for package in facts.shape_packages()
    for name, body in facts.load(f"shapes/{package}").items()
    if "gvk" in body and not name.startswith("API") and name != "WatchEvent"
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_every_kind_comes_back_as_it_was(kind: tuple[str, str], seed: int) -> None:
    gvk, name = kind
    group, version, kind_name = gvk.split("/")
    api_version = version if group == "core" else f"{group}/{version}"
    obj = sample_struct(schema.struct(name), random.Random(seed), 5)
    obj |= {"apiVersion": api_version, "kind": kind_name}
    obj = normal(obj, name)
    again = decode_request(encode_object(obj), api_version, kind_name)
    assert normal(again, name) == obj


def test_a_status_subresource_says_no_more_than_that_it_is_there() -> None:
    """CustomResourceSubresourceStatus is a message without fields."""
    spec: dict[str, Any] = {"versions": [{"name": "v1", "subresources": {"status": {}}}]}
    obj = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    again = decode_request(encode_object({**obj, "spec": spec}), "", "")
    assert again["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_a_schema_within_a_schema_brings_no_empty_texts() -> None:
    """Go writes every text of a message, also where nobody set it."""
    go = {"id": "", "$schema": "", "type": "string", "description": "", "nullable": False}
    whole = {"type": "array", "items": go, "additionalProperties": go}
    spec = {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": whole}}]}
    obj = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    again = decode_request(encode_object({**obj, "spec": spec}), "", "")
    found = again["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert found == {"type": "array", "items": {"type": "string"},
                     "additionalProperties": {"type": "string"}}  # fmt: skip
