"""PATCH as a hostile client sends it: what is refused, in which words, and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from sampan.api.meta import Json
from sampan.apiserver.authn.user import User
from tests.apiserver.conftest import Asker

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
MAP = "/api/v1/namespaces/n/configmaps/a"
CONFIG: Json = {
    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"},
}  # fmt: skip


async def _with_map(server: Asker) -> None:
    await server.namespace("n")
    await server.make(MAP.rpartition("/")[0], CONFIG)


REFUSED: list[tuple[str, Any, int, str]] = [
    (JSON, [{"op": "test", "path": "/data/k", "value": "v"}] * 10_001, 413,
     "Request entity too large: The allowed maximum operations in a JSON patch is 10000, "
     "got 10001"),
    (JSON, [1], 400,
     "error decoding patch: json: cannot unmarshal number into Go value of type "
     "handlers.jsonPatchOp"),
    (JSON, [{"op": 1}], 400,
     "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op "
     "of type string"),
    (JSON, [{"op": "add", "path": "", "value": {}}], 422,
     "the server rejected our request due to an error in our request"),
    (JSON, [{"op": "replace", "path": "/metadata/namespace", "value": "other"}], 400,
     "the namespace of the provided object does not match the namespace sent on the request"),
    (MERGE, None, 400, "Invalid JSON Patch"),
    (MERGE, {"metadata": {"name": None}}, 400,
     "the name of the object (a based on URL) was undeterminable: name must be provided"),
    (APPLY, {**CONFIG, "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
    (APPLY, {"metadata": {"name": "a"}}, 400, "invalid object type: /, Kind="),
    (APPLY, {**CONFIG, "metadata": {"name": "a", "managedFields": []}}, 400,
     "metadata.managedFields must be nil"),
    (APPLY, {**CONFIG, "bogus": 1}, 500,
     "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .bogus: field not declared "
     "in schema"),
    (APPLY, {**CONFIG, "data": {"k": 1, "l": True}}, 500,
     "failed to create typed patch object (/a; /v1, Kind=ConfigMap): errors:\n"
     "  .data.k: expected string, got &value.valueUnstructured{Value:1}\n"
     "  .data.l: expected string, got &value.valueUnstructured{Value:true}"),
    (APPLY, [], 400,
     "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
     "array into Go value of type map[string]interface {}"),
]  # fmt: skip


@pytest.mark.parametrize(("media", "body", "code", "message"), REFUSED)
async def test_a_patch_is_refused_in_upstreams_words(
    server: Asker, media: str, body: Any, code: int, message: str
) -> None:
    await _with_map(server)
    status, answer = await server.ask(
        "PATCH", f"{MAP}?fieldManager=me" if media == APPLY else MAP, orjson.dumps(body), type=media
    )
    assert (status, answer["message"]) == (code, message)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (JSON, None),
        (MERGE, {"kind": None}),
        (STRATEGIC, {"kind": "Secret"}),
        (JSON, [{"op": "add", "path": "x/kind", "value": None}]),
    ],
)
async def test_a_patch_without_effect_is_accepted(server: Asker, media: str, body: Any) -> None:
    await _with_map(server)
    before = (await server.ask("GET", MAP))[1]
    status, answer = await server.ask("PATCH", MAP, orjson.dumps(body), type=media)
    assert (status, answer) == (200, before)


@pytest.mark.parametrize(
    ("media", "body", "complaint"),
    [
        (MERGE, b'{"data":{"z":"1","z":"2"}}', 'duplicate field "data.z"'),
        (STRATEGIC, b'{"data":{"z":"1","z":"2"}}', 'duplicate field "data.z"'),
        (JSON, b'[{"op":"add","op":"add","path":"/data/z","value":"2"}]',
         'json patch duplicate field "[0].op"'),
        (JSON, b'[{"op":"add","path":"/data/z","value":"2","extra":1}]',
         'json patch unknown field "[0].extra"'),
    ],
)  # fmt: skip
async def test_what_is_odd_about_a_patch_itself_is_told(
    server: Asker, media: str, body: bytes, complaint: str
) -> None:
    await _with_map(server)
    strict, answer = await server.ask("PATCH", f"{MAP}?fieldValidation=Strict", body, type=media)
    assert strict == 422
    assert answer["message"].endswith(f"strict decoding error: {complaint}")
    warned = await server.raw("PATCH", MAP, body, type=media)
    quoted = complaint.replace('"', '\\"')
    assert (warned.status, warned.headers["warning"]) == (200, f'299 - "{quoted}"')


async def test_who_may_patch_may_not_therefore_create(server: Asker) -> None:
    await server.namespace("n")
    server.tokens.add("patcher", User("patcher"))
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["patch", "update"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await server.make(f"{rbac}/clusterroles", {"metadata": {"name": "p"}, "rules": rules})
    await server.make(
        f"{rbac}/clusterrolebindings",
        {
            "metadata": {"name": "p"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "p",
            },
            "subjects": [
                {"kind": "User", "name": "patcher", "apiGroup": "rbac.authorization.k8s.io"}
            ],
        },
    )
    status, answer = await server.ask(
        "PATCH", f"{MAP}?fieldManager=me", CONFIG, type=APPLY, token="patcher"
    )
    assert (status, answer["message"]) == (403, 'configmaps "a" is forbidden: ')
    lease: Json = {"metadata": {"name": "l"}}
    path = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"
    assert (await server.ask("PUT", path, lease, token="patcher"))[0] == 403
    status, made = await server.ask("PUT", path, lease)
    assert status == 201
    assert (await server.ask("PUT", path, made, token="patcher"))[0] == 200


async def test_an_absent_object_cannot_be_applied_with_a_uid(server: Asker) -> None:
    await server.namespace("n")
    with_uid = {**CONFIG, "metadata": {"name": "a", "uid": "u"}}
    status, answer = await server.ask("PATCH", f"{MAP}?fieldManager=me", with_uid, type=APPLY)
    assert status == 409
    assert answer["message"].endswith(
        "uid mismatch: the provided object specified uid u, and no existing object was found"
    )
    without_name = {**CONFIG, "metadata": {}}
    status, answer = await server.ask("PATCH", f"{MAP}?fieldManager=me", without_name, type=APPLY)
    assert (status, answer["message"]) == (
        400,
        "the name of the object (a based on URL) was undeterminable: name must be provided",
    )


async def test_a_scale_is_applied_and_fought_over(server: Asker) -> None:
    await server.namespace("n")
    labels = {"a": "b"}
    template = {
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    path = "/apis/apps/v1/namespaces/n/deployments"
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await server.make(path, {"metadata": {"name": "d"}, "spec": spec})
    scale = {
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"},
        "spec": {"replicas": 7},
    }  # fmt: skip
    asked = f"{path}/d/scale?fieldManager=me"
    status, answer = await server.ask("PATCH", asked, scale, type=APPLY)
    assert (status, answer["details"]["causes"][0]["field"]) == (409, ".spec.replicas")
    status, answer = await server.ask("PATCH", f"{asked}&force=true", scale, type=APPLY)
    assert (status, answer["spec"]["replicas"]) == (200, 7)
    entries = (await server.ask("GET", f"{path}/d"))[1]["metadata"]["managedFields"]
    mine = [entry for entry in entries if "f:replicas" in entry["fieldsV1"]["f:spec"]]
    assert [(e["manager"], e["operation"], e["subresource"], e["apiVersion"]) for e in mine] == [
        ("me", "Apply", "scale", "apps/v1")
    ]
    assert mine[0]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


async def test_options_are_refused_in_upstreams_order(server: Asker) -> None:
    await _with_map(server)
    query = "force=true&fieldManager=a%00b&dryRun=x&fieldValidation=y"
    status, answer = await server.ask("PATCH", f"{MAP}?{query}", {}, type=MERGE)
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert (status, fields) == (422, ["force", "fieldManager", "dryRun", "fieldValidation"])
    assert answer["details"]["causes"][1]["message"] == (
        'Invalid value: "a\\x00b": invalid character U+0000 (at position 1)'
    )


DEPLOYMENT = "/apis/apps/v1/namespaces/n/deployments/d"


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"containers": [{"image": "x"}]}, 500,
         "map: map[image:x] does not contain declared merge key: name"),
        ({"containers": [{"$patch": "delete"}]}, 500,
         "map: map[$patch:delete] does not contain declared merge key: name"),
        ({"containers": [{"name": "c", "$patch": "merge"}]}, 500,
         "merging lists cannot yet be specified in the patch"),
        ({"containers": [{"name": "c", "$patch": "frob"}]}, 500,
         "unknown patch type: frob in map: map[$patch:frob name:c]"),
        ({"nodeSelector": {"$patch": "frob"}}, 500, "unknown patch type: frob in map: map["),
        ({"containers": ["x"]}, 500, "list element types are not identical: [[map["),
        ({"$setElementOrder/containers": "x"}, 500,
         "expected a []interface {}, but received a string"),
        ({"nodeSelector": "x"}, 422, "cannot restore map from string"),
        ({"containers": {"a": "b"}}, 422, "cannot restore slice from map"),
        ({"hostNetwork": 1}, 422, "unrecognized type: bool"),
        ({"terminationGracePeriodSeconds": 1.5}, 422, "cannot convert float64 to int64"),
        ({"$setElementOrder/containers": [{"name": "q"}], "containers": [{"name": "c"}]}, 500,
         "The order in patch list:\n[map[name:c]]\n doesn't match $setElementOrder list:\n"
         "[map[name:q]]\n"),
        ({"volumes": [{"name": "v", "$retainKeys": ["name"], "configMap": {"name": "q"}}]}, 400,
         "invalid patch format of retainKeys"),
    ],
)  # fmt: skip
async def test_a_strategic_patch_is_refused_in_upstreams_words(
    server: Asker, spec: Json, code: int, message: str
) -> None:
    await server.namespace("n")
    labels = {"a": "b"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "nodeSelector": {"x": "y"},
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }
    body = {"selector": {"matchLabels": labels}, "template": template}
    await server.make(DEPLOYMENT.rpartition("/")[0], {"metadata": {"name": "d"}, "spec": body})
    patch = {"spec": {"template": {"spec": spec}}}
    status, answer = await server.ask("PATCH", DEPLOYMENT, patch, type=STRATEGIC)
    assert status == code
    assert message in answer["message"]


async def test_an_owner_that_stands_twice_stands_once(server: Asker) -> None:
    await _with_map(server)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    twice = {"metadata": {"name": "b", "ownerReferences": [owner, owner]}}
    made = await server.raw("POST", MAP.rpartition("/")[0], twice)
    assert orjson.loads(await made.read())["metadata"]["ownerReferences"] == [owner]
    assert "duplicate entries; API server" in made.headers["warning"]
    patch = {"metadata": {"ownerReferences": [owner, owner]}}
    patched = await server.raw("PATCH", MAP, patch, type=MERGE)
    assert orjson.loads(await patched.read())["metadata"]["ownerReferences"] == [owner]
    assert "after mutating admission happens" in patched.headers["warning"]


async def test_of_applies_that_race_for_what_is_not_there_all_win(server: Asker) -> None:
    await server.namespace("n")

    async def one(number: int) -> int:
        config = {**CONFIG, "data": {f"k{number}": "v"}}
        query = f"{MAP}?fieldManager=m{number}"
        return (await server.ask("PATCH", query, config, type=APPLY))[0]

    codes = await asyncio.gather(*(one(number) for number in range(8)))
    assert sorted(codes) == [200] * 7 + [201]
    stored = (await server.ask("GET", MAP))[1]
    assert len(stored["data"]) == 8
