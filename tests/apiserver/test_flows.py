"""FlowSchemas say under which level a request falls; times and ids that a request brings along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sampan.api.meta import Json
from sampan.apiserver.app import Limits

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"


async def schema_of(server: Asker, path: str, token: str, method: str = "GET") -> str:
    response = await server.raw(method, path, token=token)
    uid = response.headers["x-kubernetes-pf-flowschema-uid"]
    _, listed = await server.ask("GET", f"{FLOWS}/flowschemas")
    (found,) = [s["metadata"]["name"] for s in listed["items"] if s["metadata"]["uid"] == uid]
    return str(found)


@pytest.mark.parametrize(
    ("path", "token", "schema"),
    [
        ("/api/v1/pods", "admin", "exempt"),
        ("/api/v1/pods", "alice", "global-default"),
        ("/healthz", "alice", "probes"),
        ("/api/v1/nodes/n1", "node", "system-node-high"),
        ("/api/v1/pods", "node", "system-nodes"),
    ],
)
async def test_each_request_falls_under_a_schema(
    server: Asker, path: str, token: str, schema: str
) -> None:
    assert await schema_of(server, path, token) == schema


async def test_a_new_schema_counts_at_once_and_none_without_its_level(server: Asker) -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "alice"}}],
        "resourceRules": [
            {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}
        ],
    }
    body: Json = {
        "metadata": {"name": "mine"},
        "spec": {
            "matchingPrecedence": 5,
            "priorityLevelConfiguration": {"name": "none-yet"},
            "rules": [rule],
        },
    }
    await server.make(f"{FLOWS}/flowschemas", body)
    pods = "/api/v1/namespaces/a/pods"
    assert await schema_of(server, pods, "alice") == "global-default"
    level = {"metadata": {"name": "none-yet"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"},
    }}}  # fmt: skip
    await server.make(f"{FLOWS}/prioritylevelconfigurations", level)
    assert await schema_of(server, pods, "alice") == "mine"
    assert await schema_of(server, "/api/v1/pods", "alice") == "global-default"


@pytest.mark.parametrize(
    ("asked", "why"),
    [("abc", 'invalid duration "abc"'), ("5", 'missing unit in duration "5"')],
)
async def test_a_timeout_is_a_duration(server: Asker, asked: str, why: str) -> None:
    status, answer = await server.ask("GET", f"/api/v1/pods?timeout={asked}")
    prefix = "invalid timeout specified in the request URL - time: "
    assert (status, answer["message"]) == (400, prefix + why)
    assert (await server.ask("GET", "/api/v1/pods?timeout=1m0.5s"))[0] == 200


async def test_an_answer_has_the_id_of_its_request(server: Asker) -> None:
    own = await server.raw("GET", "/api/v1/pods", audit_id="mine")
    assert own.headers["audit-id"] == "mine"
    made = await server.raw("GET", "/absent", token="")
    assert len(made.headers["audit-id"]) == 36


async def test_too_many_requests_at_a_time_are_refused_but_not_administrators(
    server: Asker,
) -> None:
    server.api.app.limits = Limits(reading=1, writing=1)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    with server.api.app.meters.in_flight(False):
        refused = await server.raw("POST", path, review, token="alice")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert await refused.read() == b"Too many requests, please try again later.\n"
        assert (await server.ask("POST", path, review))[0] == 201
    assert (await server.ask("POST", path, review, token="alice"))[0] == 201


async def test_a_schema_says_whether_its_level_is_there(server: Asker) -> None:
    running = asyncio.create_task(server.api.dangling.run())
    body: Json = {
        "metadata": {"name": "mine"},
        "spec": {"matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "late"}},
    }
    path = f"{FLOWS}/flowschemas/mine"
    await server.make(f"{FLOWS}/flowschemas", body)

    async def told() -> tuple[str, str]:
        for _ in range(50):
            await asyncio.sleep(0)
        _, found = await server.ask("GET", path)
        (condition,) = found["status"]["conditions"]
        return condition["status"], condition["reason"]

    try:
        assert await told() == ("True", "NotFound")
        limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}
        spec = {"type": "Limited", "limited": limited}
        level = {"metadata": {"name": "late"}, "spec": spec}
        await server.make(f"{FLOWS}/prioritylevelconfigurations", level)
        assert await told() == ("False", "Found")
    finally:
        running.cancel()
    _, exempt = await server.ask("GET", f"{FLOWS}/flowschemas/exempt")
    assert exempt["status"]["conditions"][0]["reason"] == "Found"
