"""The quick way to a create's ownership gives what the general way gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.api import apply, decode, schema
from sampan.api.apply import Writer
from sampan.api.firstwrite import fields_of_new
from sampan.resources.catalog import CATALOG

RECORDED = Path(__file__).parent.parent / "recorded" / "api"


def bodies() -> list[tuple[str, dict[str, Any], Any]]:
    """Every body that the recorded scenarios create something with, and its Resource."""
    found = []
    for file in sorted(RECORDED.rglob("*.yaml")):
        for step in yaml.safe_load(file.read_text())["steps"]:
            method, path = step["do"].split(" ", 1)
            body = step.get("body")
            if method != "POST" or not isinstance(body, dict):
                continue
            plural = re.split(r"[/?]", path.rstrip("/"))[-1] if "?" not in path else ""
            found += [
                (f"{file.stem} {path}", body, resource)
                for resource in CATALOG
                if resource.id.plural == plural and resource.id.api_version in path
            ]
    return found


@pytest.mark.parametrize("status_ignored", [True, False])
def test_both_ways_agree_on_every_recorded_create(status_ignored: bool) -> None:
    checked = 0
    for where, body, resource in bodies():
        try:
            obj = decode.decode(body, resource.schema).obj
        except decode.DecodeError:
            continue
        resource.defaults(obj)
        rid = resource.id
        obj |= {"kind": rid.kind, "apiVersion": rid.api_version}
        empty = decode.normal({}, resource.schema) | {
            "kind": rid.kind,
            "apiVersion": rid.api_version,
        }
        kind = schema.of(resource.schema)
        ignored = (("f:status",),) if status_ignored else ()
        writer = Writer("m", rid.api_version, "2001-01-01T00:00:00Z", "", ignored)
        tracked = apply.track(None, obj, kind, writer, empty)
        entries = tracked.get("metadata", {}).get("managedFields") or []
        wanted = entries[0]["fieldsV1"] if entries else {}
        assert fields_of_new(obj, empty, kind, ignored) == wanted, where
        checked += 1
    assert checked > 150
