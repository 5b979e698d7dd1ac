"""Admission webhooks, asked over TLS on loopback."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from sampan.api.meta import Json
from sampan.apiserver.admission.webhook_call import Unanswered, read_answer, shown_url
from sampan.cluster.pki import Subject, new_authority
from sampan.std.http import Request, Response
from sampan.std.httpd import listener, serve
from sampan.std.tls import server_context
from tests.apiserver.conftest import Asker

MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "/apis/admissionregistration.k8s.io/v1"
KINDS = {
    "Mutating": "mutatingwebhookconfigurations",
    "Validating": "validatingwebhookconfigurations",
}
RULE: Json = {
    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
    "operations": ["CREATE", "UPDATE", "DELETE"],
}  # fmt: skip

Decide = Callable[[Json], Json]


class Hooks:
    """A webhook server; each path decides by a function from request to response."""

    def __init__(self, server: Asker) -> None:
        self.server = server
        self.ca = b""
        self.port = 0
        self.deciders: dict[str, Decide] = {}
        self.asked: list[Json] = []

    async def handle(self, request: Request) -> Response:
        review = orjson.loads(request.body)
        self.asked.append(review["request"])
        found = self.deciders[request.path](review["request"])
        answer = {"uid": review["request"]["uid"], "allowed": True, **found}
        body = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": answer}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    async def add(self, kind: str, name: str, decide: Decide, **more: Any) -> None:
        path = f"/{name}"
        self.deciders[path] = decide
        config = {
            "url": f"https://127.0.0.1:{self.port}{path}",
            "caBundle": base64.b64encode(self.ca).decode(),
        }
        webhook = {
            "name": f"{name}.example.com", "clientConfig": config, "rules": [RULE],
            "sideEffects": "None", "admissionReviewVersions": ["v1"], **more,
        }  # fmt: skip
        body = {"metadata": {"name": name}, "webhooks": [webhook]}
        await self.server.make(f"{GROUP}/{KINDS[kind]}", body)


@pytest.fixture
async def hooks(server: Asker) -> AsyncIterator[Hooks]:
    found = Hooks(server)
    authority = new_authority("hooks")
    pair = authority.issue(Subject("hook", names=("127.0.0.1",)))
    tls = server_context(pair.certificate, pair.key)
    running = await serve(found.handle, sock=listener("127.0.0.1", 0), tls=tls)
    found.ca, found.port = authority.pem, running.port
    try:
        yield found
    finally:
        await running.close()


def patching(*operations: Json) -> Decide:
    patch = base64.b64encode(orjson.dumps(operations)).decode()
    return lambda request: {"patch": patch, "patchType": "JSONPatch"}


def configmap(name: str = "m", **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


async def test_a_mutating_webhook_changes_the_object(hooks: Hooks) -> None:
    add = {"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}}
    await hooks.add("Mutating", "labels", patching(add))
    made = await hooks.server.make(MAPS, configmap())
    assert made["metadata"]["labels"] == {"by": "hook"}
    [request] = hooks.asked
    assert request["operation"] == "CREATE"
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert request["object"]["kind"] == "ConfigMap"
    assert request["oldObject"] is None
    assert request["userInfo"]["username"] == "root"


async def test_mutating_webhooks_run_in_order_and_again_where_asked_for(hooks: Hooks) -> None:
    seen = []

    def first(request: Json) -> Json:
        seen.append(sorted(request["object"].get("data") or ()))
        return {}

    await hooks.add("Mutating", "a", first, reinvocationPolicy="IfNeeded")
    added = {"op": "add", "path": "/data/late", "value": "x"}
    await hooks.add("Mutating", "b", patching(added))
    await hooks.server.make(MAPS, configmap(early="x"))
    assert seen == [["early"], ["early", "late"]]


async def test_a_validating_webhook_sees_the_final_object_and_says_no(hooks: Hooks) -> None:
    def decide(request: Json) -> Json:
        if "late" not in request["object"]["data"]:
            return {}
        status = {"message": "not that late", "code": 409, "reason": "Conflict"}
        return {"allowed": False, "status": status, "warnings": ["think again"]}

    await hooks.add("Validating", "no", decide)
    added = {"op": "add", "path": "/data/late", "value": "x"}
    await hooks.add("Mutating", "yes", patching(added))
    response = await hooks.server.raw("POST", MAPS, configmap(a="b"))
    answer = orjson.loads(await response.read())
    assert (response.status, answer["code"], answer["reason"]) == (409, 409, "Conflict")
    says = 'admission webhook "no.example.com" denied the request: not that late'
    assert answer["message"] == says
    assert "think again" in response.headers["warning"]


async def test_a_refusal_without_words_is_a_bad_request_without_reason(hooks: Hooks) -> None:
    await hooks.add("Validating", "no", lambda request: {"allowed": False})
    status, answer = await hooks.server.ask("POST", MAPS, configmap())
    assert (status, answer["code"]) == (400, 400)
    assert "reason" not in answer
    says = 'admission webhook "no.example.com" denied the request without explanation'
    assert answer["message"] == says


async def test_deletes_are_asked_about_with_the_old_object(hooks: Hooks) -> None:
    await hooks.server.make(MAPS, configmap())
    await hooks.add("Validating", "watch", lambda request: {})
    assert (await hooks.server.ask("DELETE", f"{MAPS}/m"))[0] == 200
    [request] = hooks.asked
    assert (request["operation"], request["object"]) == ("DELETE", None)
    assert request["oldObject"]["metadata"]["name"] == "m"


async def test_selectors_and_conditions_spare_a_webhook(hooks: Hooks) -> None:
    condition = {"name": "big", "expression": "object.metadata.name.startsWith('big')"}
    await hooks.add("Validating", "a", lambda request: {}, matchConditions=[condition])
    selector = {"matchLabels": {"x": "y"}}
    await hooks.add("Validating", "b", lambda request: {}, objectSelector=selector)
    await hooks.server.make(MAPS, configmap("small"))
    assert hooks.asked == []
    await hooks.server.make(MAPS, configmap("big-one"))
    assert len(hooks.asked) == 1


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_a_webhook_that_does_not_answer(hooks: Hooks, policy: str) -> None:
    hooks.port = 1
    await hooks.add("Validating", "gone", lambda request: {}, failurePolicy=policy)
    status, answer = await hooks.server.ask("POST", MAPS, configmap())
    if policy == "Ignore":
        assert status == 201
    else:
        assert (status, answer["reason"]) == (500, "InternalError")
        assert answer["message"].startswith(
            'Internal error occurred: failed calling webhook "gone.example.com": failed to call '
            'webhook: Post "https://127.0.0.1:1/gone?timeout=10s": '
        )


async def test_a_service_without_endpoints_is_named(hooks: Hooks) -> None:
    service = {"clientConfig": {"service": {"namespace": "default", "name": "none"}}}
    await hooks.add("Validating", "svc", lambda request: {}, **service)
    _, answer = await hooks.server.ask("POST", MAPS, configmap())
    assert answer["message"].endswith(
        'Post "https://none.default.svc:443/?timeout=10s": service "none" not found'
    )


async def test_a_dry_run_asks_only_webhooks_without_side_effects(hooks: Hooks) -> None:
    await hooks.add("Validating", "pure", lambda request: {})
    assert (await hooks.server.ask("POST", f"{MAPS}?dryRun=All", configmap()))[0] == 201
    assert hooks.asked[0]["dryRun"] is True


async def test_a_broken_configuration_can_be_taken_away(hooks: Hooks) -> None:
    hooks.port = 1
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
    await hooks.add("Validating", "all", lambda request: {}, rules=[everything])
    status, _ = await hooks.server.ask("DELETE", f"{GROUP}/{KINDS['Validating']}/all")
    assert status == 200


def reply(**response: Any) -> bytes:
    body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
    return orjson.dumps(body)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"nonsense", "received invalid webhook response"),
        (b"{}", "expected webhook response of admission.k8s.io/v1"),
        (reply(uid="other"), 'expected response.uid="u", got "other"'),
        (reply(uid="u", patch="W10="), "response.patch but not response.patchType"),
        (reply(uid="u", patchType="JSONPatch"), "response.patchType but not response.patch"),
        (reply(uid="u", patch="W10=", patchType="Merge"), 'invalid response.patchType of "Merge"'),
        (reply(uid="u", patch="e30=", patchType="JSONPatch"), "no list of operations"),
    ],
)
def test_an_answer_that_is_none_is_told(content: bytes, says: str) -> None:
    with pytest.raises(Unanswered, match=says):
        read_answer(content, "u")


def test_urls_show_services_by_name() -> None:
    ref = {"namespace": "n", "name": "s", "port": 8443, "path": "/x"}
    assert shown_url({"service": ref}, 5) == "https://s.n.svc:8443/x?timeout=5s"
    assert shown_url({"url": "https://h"}, 5) == "https://h/?timeout=5s"
    assert shown_url({"url": "https://h/a?b=c"}, 5) == "https://h/a?b=c&timeout=5s"
