"""The order of printed fields covers what the schema has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sampan.api import schema
from sampan.resources.core import layout
from sampan.resources.core.difference import difference

ELSEWHERE = {
    "PodSpec": {*layout.HOST_FIELDS, "serviceAccount"},
    "PersistentVolumeSpec": {
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity",
        "persistentVolumeReclaimPolicy", "storageClassName", "volumeAttributesClassName",
        "volumeMode",
    },
}  # fmt: skip
AS_THE_API_HAS_IT = {"meta.v1.LabelSelector", "core.v1.PersistentVolumeClaimTemplate"}


@pytest.mark.parametrize("name", layout.ORDER)
def test_every_field_of_the_schema_is_printed(name: str) -> None:
    printed = {key for _, key in layout.fields(name)}
    if name == "PodSecurityContext":
        printed -= set(layout.HOST_FIELDS)
    assert printed | ELSEWHERE.get(name, set()) == set(schema.struct(f"core.v1.{name}").fields)


@pytest.mark.parametrize("name", layout.ORDER)
def test_every_struct_inside_has_its_order(name: str) -> None:
    assert set(_inside(name)) <= {f"core.v1.{known}" for known in layout.ORDER} | AS_THE_API_HAS_IT


def _inside(name: str) -> Iterator[str]:
    for field in schema.struct(f"core.v1.{name}").fields.values():
        kind = field.type
        while kind.item:
            kind = kind.item
        if kind.kind == "struct" and field.name not in ELSEWHERE.get(name, set()):
            yield kind.name


def test_unset_fields_are_shown_and_markup_is_escaped() -> None:
    old = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    told = difference(old, {**old, "volumeName": "<v>"}, "PersistentVolumeClaimSpec")
    assert told == (
        "@@ -9,7 +9,7 @@\n"
        '    "storage": "1Gi"\n   }\n  },\n'
        '- "VolumeName": "",\n+ "VolumeName": "\\u003cv\\u003e",\n'
        '  "StorageClassName": null,\n  "VolumeMode": null,\n  "DataSource": null,\n'
    )
