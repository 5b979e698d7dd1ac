"""The forms of answers, bodies that are none, options of DELETE, pages beside resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MAPS = "/api/v1/namespaces/default/configmaps"
UNREADABLE = "the object provided is unrecognized (must be of type ConfigMap): "


@pytest.mark.parametrize(
    ("query", "agent", "indented"),
    [
        ("?pretty=true", "x", True), ("?pretty=1", "x", True), ("?pretty=no", "curl/8", False),
        ("", "curl/8", True), ("", "Mozilla/5.0 (X11)", True), ("", "kubectl/v1", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [MAPS, f"{MAPS}/absent", "/api/v1", "/apis", "/"])
async def test_people_get_json_that_they_can_read(
    server: Asker, path: str, query: str, agent: str, indented: bool
) -> None:
    response = await server.raw("GET", path + query, user_agent=agent)
    assert (b"\n  " in await response.read()) is indented


async def test_an_error_comes_in_the_form_that_was_asked_for(server: Asker) -> None:
    response = await server.raw("GET", f"{MAPS}/absent", accept="application/yaml")
    assert response.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(await response.read())["reason"] == "NotFound"
    proto = "application/vnd.kubernetes.protobuf"
    response = await server.raw("GET", f"{MAPS}/absent", accept=proto)
    assert (response.status, response.headers["content-type"]) == (404, proto)
    assert (await response.read()).startswith(b"k8s\0")
    response = await server.raw("GET", f"{MAPS}/absent", accept="image/png")
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "media", "message"),
    [
        (b"[1,2]", "application/json", "{} (5b312c325d)"),
        (b"a: b: c", "application/yaml",
         "{} yaml: mapping values are not allowed in this context (613a20623a2063)"),
        (b"k: v\na: b: c", "application/yaml",
         "{} yaml: line 2: mapping values are not allowed in this context "
         "(6b3a20760a613a20623a2063)"),
        (b'{"kind":1}', "application/json",
         "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go "
         'struct field .kind of type string ({"kind":1})'),
        (b"x", "application/vnd.kubernetes.protobuf",
         "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] "
         "(78)"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_object_is_shown(
    server: Asker, body: bytes, media: str, message: str
) -> None:
    status, answer = await server.ask("POST", MAPS, body, type=media)
    begin, _, end = (UNREADABLE + message).rpartition("{} ")
    assert status == 400
    assert answer["message"].startswith(begin)
    assert answer["message"].endswith(end)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (b"{", "couldn't get version/kind; json parse error: unexpected end of JSON input"),
        (b'{"gracePeriodSeconds":"x"}',
         "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of "
         "type int64"),
        (b'{"kind":"Foo","apiVersion":"v1"}', 'no kind "Foo" is registered for version "v1"'),
    ],
)  # fmt: skip
async def test_options_of_a_delete_must_be_some(
    server: Asker, options: bytes, message: str
) -> None:
    await server.make(MAPS, {"metadata": {"name": "a"}})
    for path in (f"{MAPS}/a", MAPS):
        status, answer = await server.ask("DELETE", path, options)
        assert (status, answer["message"]) == (400, message)
    assert (await server.ask("GET", f"{MAPS}/a"))[0] == 200


async def test_one_refusal_ends_the_deletion_of_a_collection(server: Asker) -> None:
    for name in ("a", "b", "c"):
        await server.make(MAPS, {"metadata": {"name": name}})
    status, answer = await server.ask("DELETE", MAPS, {"preconditions": {"uid": "none"}})
    assert (status, answer["reason"]) == (409, "Conflict")


async def test_the_root_lists_what_there_is(server: Asker) -> None:
    status, answer = await server.ask("GET", "/")
    assert status == 200
    wanted = {"/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz/ping", "/openapi/v3/"}
    assert wanted <= set(answer["paths"])
    assert answer["paths"] == sorted(answer["paths"])


@pytest.mark.parametrize("path", ["/version", "/api", "/api/v1", "/apis/apps/v1"])
async def test_discovery_is_only_read(server: Asker, path: str) -> None:
    status, answer = await server.ask("POST", path, {})
    assert (status, answer["reason"]) == (405, "MethodNotAllowed")


async def test_known_discovery_is_not_sent_again(server: Asker) -> None:
    form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    first = await server.raw("GET", "/apis", accept=form)
    again = await server.raw("GET", "/apis", accept=form, if_none_match=first.headers["etag"])
    assert (again.status, await again.read()) == (304, b"")
    other: Any = await server.raw("GET", "/apis", accept=form, if_none_match='"other"')
    assert orjson.loads(await other.read())["kind"] == "APIGroupDiscoveryList"


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps", "/api/v1", "/apis/apps/v1"])
async def test_discovery_comes_in_every_form(server: Asker, path: str) -> None:
    _, plain = await server.ask("GET", path)
    written = await server.raw("GET", path, accept="application/yaml")
    assert yaml.safe_load(await written.read()) == plain
    proto = await server.raw("GET", path, accept="application/vnd.kubernetes.protobuf")
    content = await proto.read()
    assert content.startswith(b"k8s\0")
    assert plain["kind"].encode() in content
    assert (await server.raw("GET", path, accept="text/html")).status == 406


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("..", "may not be '..'"),
        ("%2E", "may not be '.'"),
        ("a%25b", "may not contain '%'"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_name_is_one_part_of_a_path(
    server: Asker, method: str, name: str, why: str
) -> None:
    status, answer = await server.ask(method, f"{MAPS}/{name}")
    assert status == 400
    assert answer["message"].startswith("Name parameter invalid: ")
    assert answer["message"].endswith(why)


@pytest.mark.parametrize(
    "path",
    [f"{MAPS}/a%2Fb%25", "/api/v1/namespaces/a%2Fb/configmaps", "/api/v1//configmaps",
     f"{MAPS}/a/status/more"],
)  # fmt: skip
async def test_a_slash_ends_a_part_of_a_path_however_it_is_written(
    server: Asker, path: str
) -> None:
    status, answer = await server.ask("GET", path)
    assert (status, answer["message"]) == (404, "the server could not find the requested resource")


async def test_a_review_is_no_table(server: Asker) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    form = "application/json;as=Table;v=v1;g=meta.k8s.io"
    status, answer = await server.ask("POST", path, body, accept=form)
    assert (status, answer["reason"]) == (406, "NotAcceptable")
