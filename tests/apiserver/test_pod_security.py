"""Namespaces whose labels ask for well-behaved pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.apiserver.conftest import pod

if TYPE_CHECKING:
    from sampan.api.meta import Json
    from sampan.std.http import Response
    from tests.apiserver.conftest import Asker

KEY = "pod-security.kubernetes.io/"
PODS, NAMESPACE = "/api/v1/namespaces/safe/pods", "/api/v1/namespaces/safe"
MERGE = "application/merge-patch+json"


async def ask_for(server: Asker, **levels: str) -> Response:
    labels = {f"{KEY}{mode}": level for mode, level in levels.items()}
    return await server.raw("PATCH", NAMESPACE, {"metadata": {"labels": labels}}, type=MERGE)


def warnings(response: Response) -> str:
    return response.headers.get("warning", "")


async def test_a_pod_below_the_enforced_level_is_refused(server: Asker) -> None:
    await server.namespace("safe")
    await ask_for(server, enforce="baseline")
    status, answer = await server.ask("POST", PODS, pod("p", hostNetwork=True))
    assert status == 403
    assert answer["message"] == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": '
        "host namespaces (hostNetwork=true)"
    )
    assert (await server.ask("POST", PODS, pod("p")))[0] == 201


async def test_templates_and_lesser_modes_only_warn(server: Asker) -> None:
    await server.namespace("safe")
    await ask_for(server, warn="baseline")
    response = await server.raw("POST", PODS, pod("p", hostPID=True))
    assert response.status == 201
    says = r"would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"
    assert says in warnings(response)
    labels = {"app": "a"}
    template: Json = {"metadata": {"labels": labels}, "spec": pod("", hostPID=True)["spec"]}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}}}
    body["spec"]["template"] = template
    response = await server.raw("POST", "/apis/apps/v1/namespaces/safe/deployments", body)
    assert response.status == 201
    assert says in warnings(response)


async def test_a_stricter_namespace_warns_of_the_pods_it_has(server: Asker) -> None:
    await server.namespace("safe")
    for name in "abc":
        await server.make(PODS, pod(name, hostIPC=name != "c"))
    response = await ask_for(server, enforce="baseline")
    assert response.status == 200
    assert (
        r"existing pods in namespace \"safe\" violate the new PodSecurity enforce level "
        r"\"baseline:latest\""
    ) in warnings(response)
    assert "a (and 1 other pod): host namespaces" in warnings(response)


async def test_a_level_that_there_is_not_is_refused(server: Asker) -> None:
    await server.namespace("safe")
    response = await ask_for(server, enforce="tight")
    assert response.status == 422
    assert b'Namespace \\"safe\\" is invalid' in await response.read()


async def test_a_new_image_is_judged_and_a_label_is_not(server: Asker) -> None:
    await server.namespace("safe")
    await server.make(PODS, pod("p", hostNetwork=True))
    await ask_for(server, enforce="baseline")
    label = {"metadata": {"labels": {"a": "b"}}}
    assert (await server.ask("PATCH", f"{PODS}/p", label, type=MERGE))[0] == 200
    image = {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}
    strategic = "application/strategic-merge-patch+json"
    assert (await server.ask("PATCH", f"{PODS}/p", image, type=strategic))[0] == 403
