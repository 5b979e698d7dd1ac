"""Ownership of fields: the recorded scenarios without a server, and laws that always hold."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import apply as ssa
from sampan.api import fieldset, managed, schema, typed
from sampan.api.apply import Writer
from sampan.api.decode import normal
from sampan.api.errors import ApiError, Conflict
from sampan.api.patch import merge_patch_of

RECORDED = Path(__file__).parent.parent / "recorded" / "api" / "patch"
NOW = "2026-01-01T00:00:00Z"
NAME = "core.v1.ConfigMap"
SERVER_SETS = ("uid", "resourceVersion", "creationTimestamp", "namespace")


class ConfigMaps:
    """The part of a server that the scenarios need."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None

    def answer(self, step: dict[str, Any]) -> dict[str, Any] | None:
        method, address = step["do"].split(" ", 1)
        query = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        writer = Writer(query.get("fieldManager", "recorder"), "v1", NOW)
        if method == "GET":
            return self.live
        if step.get("type") == "apply":
            if "fieldManager" not in query:
                return None
            force = query.get("force") == "true"
            new = ssa.apply(
                self.live, step["body"], schema.of(NAME), writer, normal({}, NAME), force=force
            )
        else:
            body = (
                step["body"] if method == "POST" else merge_patch_of(self.live or {}, step["body"])
            )
            new = ssa.track(
                self.live, normal(body, NAME), schema.of(NAME), writer, normal({}, NAME)
            )
        new = normal(new, NAME)
        new["metadata"].setdefault("uid", "u")
        if query.get("dryRun") != "All":
            self.live = new
        return new


def comparable(obj: dict[str, Any]) -> dict[str, Any]:
    obj = copy.deepcopy(obj)
    meta = obj["metadata"]
    for name in SERVER_SETS:
        meta.pop(name, None)
    for entry in meta.get("managedFields", []):
        if "time" in entry:
            entry["time"] = "<time>"
    meta.get("managedFields", []).sort(key=lambda entry: (entry["operation"], entry["manager"]))
    return obj


@pytest.mark.parametrize("name", ["apply-basic", "apply-conflict", "apply-after-update"])
def test_recorded_scenario(name: str) -> None:
    server = ConfigMaps()
    steps = yaml.load((RECORDED / f"{name}.yaml").read_text(), yaml.CSafeLoader)["steps"]
    for number, step in enumerate(steps):
        expected = step["expect"]["body"]
        got = outcome(server, step)
        if got is not None:
            assert comparable(got) == comparable(expected), f"step {number}"


def outcome(server: ConfigMaps, step: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return server.answer(step)
    except ApiError as error:
        return error.status()


def deployment(image: str, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"a": "b"}},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "containers": [
                        {"name": "c", "image": image, "ports": [{"containerPort": 80}], **container}
                    ]
                },
            },
        },
    }


DEPLOYMENT = "apps.v1.Deployment"


def created(obj: dict[str, Any], manager: str = "kubectl-create") -> dict[str, Any]:
    writer = Writer(manager, "apps/v1", NOW)
    return ssa.track(
        None, normal(obj, DEPLOYMENT), schema.of(DEPLOYMENT), writer, normal({}, DEPLOYMENT)
    )


def test_a_created_deployment_is_owned_as_upstream_writes_it() -> None:
    (entry,) = created(deployment("a:1"))["metadata"]["managedFields"]
    assert entry["operation"] == "Update"
    template = entry["fieldsV1"]["f:spec"]["f:template"]
    assert entry["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert entry["fieldsV1"]["f:spec"]["f:selector"] == {}
    assert template["f:spec"]["f:containers"] == {
        'k:{"name":"c"}': {
            ".": {},
            "f:image": {},
            "f:name": {},
            "f:ports": {
                ".": {},
                'k:{"containerPort":80,"protocol":"TCP"}': {
                    ".": {},
                    "f:containerPort": {},
                    "f:protocol": {},
                },
            },
            "f:resources": {},
        }
    }


def applied(
    live: dict[str, Any] | None, config: dict[str, Any], manager: str, **options: Any
) -> dict[str, Any]:
    writer = Writer(manager, "apps/v1", NOW, **options)
    out = ssa.apply(live, config, schema.of(DEPLOYMENT), writer, normal({}, DEPLOYMENT))
    return normal(out, DEPLOYMENT)


def test_a_conflict_names_the_item_by_its_keys() -> None:
    with pytest.raises(Conflict) as caught:
        applied(created(deployment("a:1")), deployment("a:2"), "me")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: '
        '.spec.template.spec.containers[name="c"].image'
    )


def test_an_item_no_longer_applied_goes_and_those_of_others_stay() -> None:
    first = applied(None, deployment("a:1", env=[{"name": "X", "value": "1"}]), "one")
    config = deployment("a:1", env=[{"name": "Y", "value": "2"}])
    second = applied(first, config, "two")
    container = second["spec"]["template"]["spec"]["containers"][0]
    assert [e["name"] for e in container["env"]] == ["X", "Y"]
    third = applied(second, deployment("a:1"), "one")
    container = third["spec"]["template"]["spec"]["containers"][0]
    assert [e["name"] for e in container["env"]] == ["Y"]


def test_applying_the_main_object_does_not_touch_its_status() -> None:
    config = {**deployment("a:1"), "status": {"replicas": 7}}
    out = applied(None, config, "me", ignored=(("f:status",),))
    assert out["status"] == {}
    assert all("f:status" not in e["fieldsV1"] for e in out["metadata"]["managedFields"])


def test_a_status_write_has_an_entry_of_its_own() -> None:
    live = created(deployment("a:1"))
    new = {**live, "status": {"replicas": 1}}
    writer = Writer("controller", "apps/v1", NOW, "status", (("f:spec",),))
    out = ssa.track(live, new, schema.of(DEPLOYMENT), writer, normal({}, DEPLOYMENT))
    entry = next(e for e in out["metadata"]["managedFields"] if e.get("subresource"))
    assert (entry["manager"], entry["subresource"]) == ("controller", "status")
    assert entry["fieldsV1"] == {"f:status": {"f:replicas": {}}}


def test_an_object_without_entries_gets_the_manager_before_the_first_apply() -> None:
    live = normal({"metadata": {"name": "c", "uid": "u"}, "data": {"a": "1", "b": "2"}}, NAME)
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"a": "1"},
    }
    out = ssa.apply(live, config, schema.of(NAME), Writer("me", "v1", NOW), normal({}, NAME))
    names = {e["manager"] for e in out["metadata"]["managedFields"]}
    assert names == {"me", "before-first-apply"}


def test_kubectl_may_take_over_what_it_applied_on_the_clients_side() -> None:
    note = '{"data":{"a":"1"}}'
    live = created_map({"a": "1"}, {ssa.LAST_APPLIED: note})
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"a": "2"},
    }
    with pytest.raises(Conflict):
        ssa.apply(live, config, schema.of(NAME), Writer("other", "v1", NOW), normal({}, NAME))
    out = ssa.apply(live, config, schema.of(NAME), Writer("kubectl", "v1", NOW), normal({}, NAME))
    assert out["data"] == {"a": "2"}
    assert '"a":"2"' in out["metadata"]["annotations"][ssa.LAST_APPLIED]


def created_map(
    data: dict[str, str], annotations: dict[str, str], manager: str = "kubectl-client-side-apply"
) -> dict[str, Any]:
    obj = {"metadata": {"name": "c", "annotations": annotations}, "data": data}
    writer = Writer(manager, "v1", NOW)
    return ssa.track(None, normal(obj, NAME), schema.of(NAME), writer, normal({}, NAME))


def test_the_oldest_of_many_writers_are_put_together() -> None:
    managers = {
        managed.Manager(f"m{n:02}", "Update", "v1"): managed.Entry(
            frozenset({(f"f:{n}",)}), "v1", f"2026-01-01T00:00:{n:02}Z"
        )
        for n in range(14)
    }
    out = managed.capped(managers)
    assert len(out) == managed.UPDATERS_MAX
    assert managed.owned_by(out) == managed.owned_by(managers)
    assert managed.Manager("ancient-changes", "Update", "v1") in out


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), min_size=1, max_size=4)


def config_of(data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), DATA), min_size=1, max_size=5))
def test_after_a_forced_apply_the_object_says_what_was_applied_and_all_is_owned(
    steps: list[tuple[str, dict[str, str]]],
) -> None:
    live: dict[str, Any] | None = None
    for manager, data in steps:
        writer, empty = Writer(manager, "v1", NOW), normal({}, NAME)
        kept = copy.deepcopy(live)
        new = ssa.apply(live, config_of(data), schema.of(NAME), writer, empty, force=True)
        assert live == kept
        new = normal(new, NAME)
        new["metadata"].setdefault("uid", "u")
        assert data.items() <= new.get("data", {}).items()
        managers = managed.read(new["metadata"].get("managedFields"))
        owned = managed.owned_by(managers)
        assert {("f:data", f"f:{key}") for key in new.get("data", {})} <= owned
        again = ssa.apply(new, config_of(data), schema.of(NAME), writer, empty)
        assert normal(again, NAME) == new
        live = new


PATHS = st.frozensets(
    st.lists(
        st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"']), min_size=1, max_size=4
    ).map(tuple),
    max_size=8,
)


@given(PATHS)
def test_fields_v1_comes_back_as_the_same_set(fields: frozenset[tuple[str, ...]]) -> None:
    assert fieldset.from_fields_v1(fieldset.to_fields_v1(fields)) == fields


@given(DATA, DATA)
def test_comparing_finds_every_change_and_no_other(
    old: dict[str, str], new: dict[str, str]
) -> None:
    change = typed.compare({"data": old}, {"data": new}, schema.of(NAME))
    keys = {path[1][2:] for path in change.added if len(path) > 1}
    assert keys == new.keys() - old.keys()
    assert {p[1][2:] for p in change.removed if len(p) > 1} == old.keys() - new.keys()
    changed = {k for k in old.keys() & new.keys() if old[k] != new[k]}
    assert {p[1][2:] for p in change.modified if len(p) > 1} == changed
