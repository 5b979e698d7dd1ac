"""Custom objects: which forms they have, and what their kind must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sampan.api.meta import Json

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

WIDGETS = "/apis/x.io/v1/namespaces/default/widgets"
MERGE = "application/merge-patch+json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WIDGET: Json = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "a"}}
DEFINITION: Json = {
    "metadata": {"name": "widgets.x.io"},
    "spec": {
        "group": "x.io",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                    }
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"replicas": {"type": "integer"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


async def define(server: Asker) -> None:
    await server.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
    custom = server.api.custom
    for _ in range(100):
        if server.api.catalog.find("x.io", "v1", "widgets") is not None:
            return
        await server.clock.sleep(0)
    raise AssertionError(f"not served: {custom}")


async def test_custom_objects_have_no_protobuf_but_their_metadata_has(server: Asker) -> None:
    await define(server)
    await server.make(WIDGETS, WIDGET)
    for path in (WIDGETS, f"{WIDGETS}/a"):
        response = await server.raw("GET", path, accept=PROTOBUF)
        assert response.status == 406
        response = await server.raw("GET", path, accept=f"{PROTOBUF},application/json")
        assert response.headers["content-type"] == "application/json"
    form = f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    response = await server.raw("GET", f"{WIDGETS}/a", accept=form)
    assert (response.status, response.headers["content-type"]) == (200, PROTOBUF)


@pytest.mark.parametrize(
    ("method", "media", "path"),
    [("POST", "application/json", WIDGETS), ("PATCH", MERGE, f"{WIDGETS}/a")],
)
async def test_the_kind_of_a_custom_object_is_validated(
    server: Asker, method: str, media: str, path: str
) -> None:
    await define(server)
    if method == "PATCH":
        await server.make(WIDGETS, WIDGET)
    body: Any = {**WIDGET, "kind": "Gadget"}
    status, answer = await server.ask(method, path, body, type=media)
    assert (status, answer["message"]) == (
        422,
        'Gadget.x.io "a" is invalid: kind: Invalid value: "Gadget": must be Widget',
    )


async def test_a_scale_is_shown_as_a_table(server: Asker) -> None:
    await define(server)
    await server.make(WIDGETS, {**WIDGET, "spec": {"replicas": 4}})
    status, table = await server.ask("GET", f"{WIDGETS}/a/scale", accept=TABLE)
    assert (status, table["kind"]) == (200, "Table")
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["a", 4, 0]


async def test_a_group_of_custom_resources_has_an_apiservice_as_long_as_it_is_there(
    server: Asker,
) -> None:
    await define(server)
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.x.io"
    for _ in range(100):
        await server.clock.sleep(0)
    status, found = await server.ask("GET", path)
    assert status == 200
    assert found["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert found["spec"] == {
        "group": "x.io", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100,
    }  # fmt: skip
    assert found["status"]["conditions"][0]["reason"] == "Local"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await server.ask("DELETE", f"{definitions}/widgets.x.io")
    for _ in range(200):
        await server.clock.sleep(0)
    assert (await server.ask("GET", path))[0] == 404
