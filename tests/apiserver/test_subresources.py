"""Scales, evictions and bindings as a hostile client sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sampan.api.meta import Json
from sampan.apiserver.admission.webhook_call import reason
from tests.apiserver.conftest import pod
from tests.apiserver.test_custom_forms import WIDGET, WIDGETS, define

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("method", "body", "query", "code", "message"),
    [
        ("PUT", {"spec": {"replicas": "x"}}, "", 400,
         'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into '
         "Go struct field ScaleSpec.spec.replicas of type int32"),
        ("PUT", {"spec": {"replica": 1}}, "?fieldValidation=Strict", 400,
         'Scale in version "v1" cannot be handled as a Scale: strict decoding error: unknown '
         'field "spec.replica"'),
        ("PATCH", {"spec": {"replicas": "x"}}, "", 422,
         "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type "
         "int32"),
        ("PATCH", {"spec": {"replica": 1}}, "?fieldValidation=Strict", 422,
         'strict decoding error: unknown field "spec.replica"'),
    ],
)  # fmt: skip
async def test_a_scale_is_read_as_strictly_as_anything(
    server: Asker, method: str, body: Json, query: str, code: int, message: str
) -> None:
    await define(server)
    await server.make(WIDGETS, {**WIDGET, "spec": {"replicas": 1}})
    sent: Any = {"metadata": {"name": "a"}, **body} if method == "PUT" else body
    media = MERGE if method == "PATCH" else "application/json"
    status, answer = await server.ask(method, f"{WIDGETS}/a/scale{query}", sent, type=media)
    assert status == code
    assert answer["message"].endswith(message)


async def test_a_custom_scale_needs_no_revision(server: Asker) -> None:
    await define(server)
    await server.make(WIDGETS, {**WIDGET, "spec": {"replicas": 1}})
    scale = {"metadata": {"name": "a"}, "spec": {"replicas": 3}}
    assert (await server.ask("PUT", f"{WIDGETS}/a/scale", scale))[0] == 200
    assert (await server.ask("GET", f"{WIDGETS}/a"))[1]["spec"] == {"replicas": 3}


async def test_an_eviction_may_be_of_the_old_version(server: Asker) -> None:
    await server.namespace("a")
    await server.make("/api/v1/namespaces/a/pods", pod("p"))
    old = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    path = "/api/v1/namespaces/a/pods/p/eviction"
    assert (await server.ask("POST", path, old))[0] == 201


async def test_a_binding_names_the_pod_that_it_goes_to(server: Asker) -> None:
    await server.namespace("a")
    await server.make("/api/v1/namespaces/a/pods", pod("p"))
    body = {"metadata": {"name": "q"}, "target": {"name": "n"}}
    status, answer = await server.ask("POST", "/api/v1/namespaces/a/pods/p/binding", body)
    assert (status, answer["message"]) == (
        400,
        "name in URL does not match name in Binding object",
    )


def test_why_a_webhook_did_not_answer_is_told_in_gos_words() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    assert reason(refused, "h:1") == "dial tcp h:1: connect: connection refused"
    wrapped = RuntimeError("no answer")
    wrapped.__cause__ = TimeoutError()
    assert reason(wrapped, "h:1") == "context deadline exceeded"
    assert reason(ValueError("no"), "h:1") == "no"


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "proxy"])
async def test_a_connection_cannot_be_tried_without_effect(server: Asker, subresource: str) -> None:
    path = f"/api/v1/namespaces/default/pods/p/{subresource}?dryRun=All"
    status, answer = await server.ask("POST", path)
    assert (status, answer["message"]) == (400, "dryRun is not supported")
