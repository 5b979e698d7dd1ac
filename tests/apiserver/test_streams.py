"""Logs, exec and proxies through the API server to a kubelet that is pretended here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sampan.api.errors import BadRequest
from sampan.apiserver.verbs.proxy import check_address, split_name, split_path
from sampan.cluster.pki import Subject, new_authority
from sampan.std.http import Request, Response, Stream
from sampan.std.httpd import Server, listener, serve
from tests.apiserver.conftest import pod

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MERGE = "application/merge-patch+json"


class PretendedKubelet:
    """Notes what it is asked; mirrors upgraded streams."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.asked.append(request)
        if "upgrade" in request.headers:
            headers = {"connection": "Upgrade", "upgrade": request.headers["upgrade"]}
            return Response(101, headers, upgrade=self.mirror)
        if request.path.startswith("/containerLogs"):
            return Response(200, {"content-type": "text/plain"}, self.lines())
        return Response(200, {"content-type": "text/plain"}, b"hello")

    @staticmethod
    async def mirror(stream: Stream) -> None:
        while data := await stream.read():
            await stream.write(data[::-1])

    @staticmethod
    async def lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"line %d\n" % number


@pytest.fixture
async def kubelet(server: Asker, tmp_path: Path) -> AsyncIterator[PretendedKubelet]:
    pair = new_authority("ca").issue(Subject("n1", names=("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(tmp_path, "kubelet"))
    pretended = PretendedKubelet()
    running: Server = await serve(pretended.handle, sock=listener("127.0.0.1", 0), tls=context)
    await server.namespace("a")
    await server.make("/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": running.port}},
    }
    await server.ask("PATCH", "/api/v1/nodes/n1/status", {"status": status}, type=MERGE)
    await server.make("/api/v1/namespaces/a/pods", pod("p", nodeName="n1"))
    yield pretended
    await running.close()


async def test_a_log_comes_line_by_line(server: Asker, kubelet: PretendedKubelet) -> None:
    path = "/api/v1/namespaces/a/pods/p/log?tailLines=5&timestamps=true"
    response = await server.raw("GET", path)
    assert (response.status, response.headers["content-type"]) == (200, "text/plain")
    assert await response.read() == b"line 0\nline 1\nline 2\n"
    asked = kubelet.asked[-1]
    assert asked.path == "/containerLogs/a/p/c"
    assert asked.query == "timestamps=true&tailLines=5"


class Pipe:
    """Both ends of an upgraded connection, in memory."""

    def __init__(self) -> None:
        self.inward: asyncio.Queue[bytes] = asyncio.Queue()
        self.outward: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, limit: int = 65536) -> bytes:
        return await self.inward.get()

    async def write(self, data: bytes) -> None:
        self.outward.put_nowait(data)

    def close(self) -> None:
        self.outward.put_nowait(b"")


async def test_exec_passes_bytes_both_ways(server: Asker, kubelet: PretendedKubelet) -> None:
    response = await server.raw(
        "POST",
        "/api/v1/namespaces/a/pods/p/exec?command=sh&command=-c&stdin=true&stdout=true&tty=true",
        connection="Upgrade",
        upgrade="SPDY/3.1",
    )
    assert response.status == 101
    assert response.headers["upgrade"] == "SPDY/3.1"
    asked = kubelet.asked[-1]
    assert asked.path == "/exec/a/p/c"
    assert asked.query == "input=1&output=1&tty=1&command=sh&command=-c"
    assert "authorization" not in asked.headers
    pipe = Pipe()
    assert response.upgrade is not None
    splicing = asyncio.create_task(response.upgrade(pipe))
    pipe.inward.put_nowait(b"abc")
    assert await pipe.outward.get() == b"cba"
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(5):
        await splicing


async def test_a_websocket_takes_the_right_to_create(
    server: Asker, kubelet: PretendedKubelet
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/exec"], "verbs": ["get"]}]
    group = "/apis/rbac.authorization.k8s.io/v1"
    await server.make(f"{group}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": group.split("/")[2], "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": group.split("/")[2], "kind": "User", "name": "alice"}],
    }
    await server.make(f"{group}/clusterrolebindings", binding)
    path = "/api/v1/namespaces/a/pods/p/exec?command=sh"
    status, body = await server.ask(
        "GET", path, token="alice", upgrade="websocket", connection="upgrade",
        sec_websocket_key="x",
    )  # fmt: skip
    assert status == 403
    assert 'cannot create resource "pods/exec"' in body["message"]


async def test_a_node_is_reached_through_its_proxy(
    server: Asker, kubelet: PretendedKubelet
) -> None:
    response = await server.raw("GET", "/api/v1/nodes/n1/proxy/stats/summary?only=cpu")
    assert await response.read() == b"hello"
    asked = kubelet.asked[-1]
    assert (asked.path, asked.query) == ("/stats/summary", "only=cpu")
    assert "authorization" not in asked.headers


async def test_a_kubelet_that_is_not_there_is_a_clear_error(server: Asker) -> None:
    await server.namespace("a")
    await server.make("/api/v1/nodes", {"metadata": {"name": "n2"}})
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    endpoint = {"kubeletEndpoint": {"Port": 1}}
    patch = {"status": {**status, "daemonEndpoints": endpoint}}
    await server.ask("PATCH", "/api/v1/nodes/n2/status", patch, type=MERGE)
    await server.make("/api/v1/namespaces/a/pods", pod("p", nodeName="n2"))
    code, body = await server.ask("GET", "/api/v1/namespaces/a/pods/p/log")
    assert code == 503
    assert "127.0.0.1:1" in body["message"]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "", "224.0.0.1"])
def test_a_proxy_never_leads_to_the_servers_own_machine(ip: str) -> None:
    with pytest.raises(BadRequest, match="address not allowed"):
        check_address(ip)


def test_names_of_proxies_carry_scheme_and_port() -> None:
    assert split_name("s", "http", "service") == ("http", "s", "")
    assert split_name("s:web", "http", "service") == ("http", "s", "web")
    assert split_name("https:s:443", "http", "service") == ("https", "s", "443")
    with pytest.raises(BadRequest, match='invalid service request "ftp:s:1"'):
        split_name("ftp:s:1", "http", "service")


@pytest.mark.parametrize(
    ("path", "legacy", "rest"),
    [
        ("/api/v1/namespaces/a/services/s/proxy", False, ""),
        ("/api/v1/namespaces/a/services/s/proxy/", False, "/"),
        ("/api/v1/namespaces/a/pods/p/proxy/x/proxy/y", False, "/x/proxy/y"),
        ("/api/v1/namespaces/proxy/pods/proxy/proxy/x%2Fy", False, "/x%2Fy"),
        ("/api/v1/nodes/n/proxy/logs/", False, "/logs/"),
        ("/api/v1/proxy/namespaces/a/services/s/x", True, "/x"),
        ("/api/v1/proxy/nodes/n", True, ""),
    ],
)
def test_what_follows_a_proxy_is_passed_as_it_came(path: str, legacy: bool, rest: str) -> None:
    prefix, found = split_path(path, legacy)
    assert found == rest
    assert path == prefix + rest
