"""Groups that another server answers for, here a pretended one on loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from sampan.apiserver.aggregator import remote_headers
from sampan.apiserver.authn.user import User
from sampan.cluster.pki import Subject, new_authority
from sampan.std.http import Request, Response
from sampan.std.httpd import listener, serve

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

LIST = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
    "resources": [
        {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "PodMetrics",
         "verbs": ["get", "list"]},
    ],
}  # fmt: skip
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


class Extension:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.asked.append(request)
        body = LIST if request.path == "/apis/metrics.k8s.io/v1beta1" else {"kind": "Thing"}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))


@pytest.fixture
async def extension(server: Asker, tmp_path: Path) -> AsyncIterator[Extension]:
    authority = new_authority("ca")
    pair = authority.issue(Subject("ext", names=("ext.a.svc",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(tmp_path, "ext"))
    pretended = Extension()
    running = await serve(pretended.handle, sock=listener("127.0.0.1", 0), tls=context)
    await server.namespace("a")
    ports = [{"name": "https", "port": 443}]
    await server.make(
        "/api/v1/namespaces/a/services", {"metadata": {"name": "ext"}, "spec": {"ports": ports}}
    )
    await endpoint(server, running.port)
    spec = {
        "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
        "versionPriority": 100, "service": {"namespace": "a", "name": "ext"},
        "caBundle": base64.b64encode(authority.pem).decode(),
    }  # fmt: skip
    await server.make(SERVICES, {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})
    yield pretended
    await running.close()


async def endpoint(server: Asker, port: int) -> None:
    """Validation keeps loopback out of slices, so the slice is stored past it."""
    served = server.api.catalog.find("discovery.k8s.io", "v1", "endpointslices")
    assert served is not None
    slice_ = {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "ext", "namespace": "a", "labels": {"kubernetes.io/service-name": "ext"},
        },
        "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }  # fmt: skip
    assert await server.api.parts.put(served, slice_, "a", 0)


async def settled(server: Asker) -> None:
    running = asyncio.create_task(server.api.app.aggregator.run())
    async with asyncio.timeout(10):
        while not any(r.available for r in server.api.app.aggregator.remotes.values()):  # noqa: ASYNC110 - no event outside tells
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    running.cancel()


async def test_a_request_is_passed_on_with_the_name_of_who_asks(
    server: Asker, extension: Extension
) -> None:
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods"
    status, body = await server.ask("GET", path, x_remote_user="root", x_remote_extra_a="b")
    assert (status, body) == (200, {"kind": "Thing"})
    headers = extension.asked[-1].headers
    assert headers["x-remote-user"] == "root"
    assert headers["x-remote-group"] == "system:masters,system:authenticated"
    assert "authorization" not in headers
    assert "x-remote-extra-a" not in headers


async def test_what_is_elsewhere_takes_the_same_rights(server: Asker, extension: Extension) -> None:
    before = len(extension.asked)
    for token in ("", "alice"):
        path = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods"
        assert (await server.ask("GET", path, token=token))[0] == 403
    assert len(extension.asked) == before


async def test_discovery_and_the_status_show_what_is_elsewhere(
    server: Asker, extension: Extension
) -> None:
    await settled(server)
    _, groups = await server.ask("GET", "/apis")
    assert groups["groups"][-1]["name"] == "metrics.k8s.io"
    form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, found = await server.ask("GET", "/apis", accept=form)
    version = found["items"][-1]["versions"][0]
    assert version["freshness"] == "Current"
    assert version["resources"][0]["responseKind"]["kind"] == "PodMetrics"
    _, listed = await server.ask("GET", "/apis/metrics.k8s.io/v1beta1")
    assert listed == LIST
    _, service = await server.ask("GET", f"{SERVICES}/v1beta1.metrics.k8s.io")
    condition = service["status"]["conditions"][-1]
    assert (condition["status"], condition["reason"]) == ("True", "Passed")
    await server.ask("DELETE", f"{SERVICES}/v1beta1.metrics.k8s.io")
    _, groups = await server.ask("GET", "/apis")
    assert groups["groups"][-1]["name"] != "metrics.k8s.io"


async def test_a_server_that_is_not_there_is_unavailable(server: Asker) -> None:
    spec = {
        "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
        "versionPriority": 100, "service": {"namespace": "default", "name": "kubernetes"},
        "insecureSkipTLSVerify": True,
    }  # fmt: skip
    await server.make(SERVICES, {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})
    spaces = "/api/v1/namespaces/default"
    await server.ask("DELETE", f"{spaces}/endpoints/kubernetes")
    await server.ask(
        "DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    )
    for path in ("/apis/metrics.k8s.io/v1beta1", "/apis/metrics.k8s.io/v1beta1/nodes"):
        response = await server.raw("GET", path)
        assert (response.status, await response.read()) == (503, b"service unavailable\n")


def test_no_name_can_smuggle_in_a_header() -> None:
    user = User("a\r\nx-remote-group: system:masters", groups=("g\nh",), extra={"K/y z": ("v",)})
    headers = remote_headers(user)
    assert headers["x-remote-user"] == "ax-remote-group: system:masters"
    assert headers["x-remote-group"] == "gh"
    assert headers["x-remote-extra-k%2fy%20z"] == "v"
