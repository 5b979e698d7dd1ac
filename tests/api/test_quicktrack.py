"""The quick ways to ownership give what the general way gives."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.api import apply, decode, schema
from sampan.api.apply import Writer
from sampan.api.quicktrack import fields_of_new, unmoved
from sampan.resources.catalog import CATALOG

RECORDED = Path(__file__).parent.parent / "recorded" / "api"


@cache
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


def changed(value: Any, how: random.Random) -> Any:
    """The value with something in it changed, added or taken away."""
    if isinstance(value, dict) and value:
        key, choice = how.choice(sorted(value)), how.random()
        if choice < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return (
            {**value, f"new{how.randrange(9)}": "x"}
            if choice < 0.3
            else ({**value, key: changed(value[key], how)})
        )
    if isinstance(value, list) and value:
        at = how.randrange(len(value))
        return [changed(v, how) if i == at else v for i, v in enumerate(value)]
    return value + 1 if type(value) is int else f"{value}x"


def edited(old: dict[str, Any], how: random.Random) -> dict[str, Any]:
    """What a client may send back of an object."""
    new: dict[str, Any] = json.loads(json.dumps(old))
    held = new["metadata"].pop("managedFields", None)
    for part in ("spec", "data", "metadata"):
        if isinstance(new.get(part), dict) and how.random() < 0.6:
            new[part] = changed(new[part], how)
    if held is not None and how.random() < 0.5:
        new["metadata"]["managedFields"] = held
    return new


def made(body: dict[str, Any], resource: Any) -> dict[str, Any] | None:
    try:
        obj = decode.decode(body, resource.schema).obj
    except decode.DecodeError:
        return None
    return obj | {"kind": resource.id.kind, "apiVersion": resource.id.api_version}


def compared(body: dict[str, Any], resource: Any, how: random.Random) -> int:
    """Some updates of one object in turn; how many of them had a quick way."""
    obj, quick, version = made(body, resource), 0, resource.id.api_version
    if obj is None:
        return 0
    empty = made({}, resource) or {}
    kind = schema.of(resource.schema)
    ignored = (("f:status",),)
    old = apply.track(None, obj, kind, Writer("a", version, "T1", "", ignored), empty)
    for step, manager in enumerate("abab"):
        old.setdefault("metadata", {})["uid"] = "u"
        new = edited(old, how)
        writer = Writer(manager, version, f"T{step + 2}", "", ignored)
        tracked = apply.track(old, new, kind, writer, empty)
        entries = unmoved(old, new, kind, writer)
        if entries is not None:
            quick += 1
            assert entries == tracked["metadata"].get("managedFields")
        old = tracked
    return quick


@pytest.mark.parametrize("seed", range(4))
def test_an_update_that_takes_nothing_is_the_same_both_ways(seed: int) -> None:
    how = random.Random(seed)
    assert sum(compared(body, resource, how) for _, body, resource in bodies()) > 100
