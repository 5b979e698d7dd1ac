"""The kubelet with its port: one component."""

from __future__ import annotations

from collections.abc import Callable

from sampan.client.client import Client
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.server.auth import Gate
from sampan.kubelet.server.server import KubeletServer, server_context
from sampan.linux.base.cgroups import Cgroups
from sampan.std import log
from sampan.std.http import Request, Response
from sampan.std.httpd import listener, serve

_LOG = log.get("kubelet")


class ListeningKubelet:
    """Has started once the node is registered and the port is open."""

    name = "kubelet"

    def __init__(self, kubelet: Kubelet, client: Client, cgroups: Cgroups) -> None:
        self.kubelet, self.client, self.cgroups = kubelet, client, cgroups

    async def run(self, started: Callable[[], None]) -> None:
        kit = self.kubelet.kit
        wanted = kit.settings.server
        gate = Gate(self.client, kit.settings.node_name, kit.clock, wanted)
        handler = KubeletServer(self.kubelet, gate, self.cgroups).handle
        tls = server_context(wanted.certificate, wanted.key, wanted.client_ca)
        sock = listener(wanted.address, wanted.port)
        servers = [await serve(handler, sock=sock, tls=tls, name="kubelet")]
        _LOG.info("serving", address=wanted.address, port=servers[0].port)
        try:
            if wanted.health_port:
                sock = listener(wanted.health_address, wanted.health_port)
                servers.append(await serve(health, sock=sock, name="kubelet health"))
            await self.kubelet.run(started)
        finally:
            for server in servers:
                await server.close(0)


async def health(request: Request) -> Response:
    """/healthz, /livez and /readyz: it answers, so it lives."""
    known = request.path in ("/healthz", "/livez", "/readyz")
    headers = {"content-type": "text/plain; charset=utf-8"}
    return Response(200 if known else 404, headers, b"ok" if known else b"404 page not found\n")
