"""The kubelet with its port: one component."""

from __future__ import annotations

from collections.abc import Callable

from sampan.client.client import Client
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.server.auth import Gate
from sampan.kubelet.server.server import KubeletServer, server_context
from sampan.linux.base.cgroups import Cgroups
from sampan.std import log
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
        server = await serve(handler, sock=sock, tls=tls, name="kubelet")
        _LOG.info("serving", address=wanted.address, port=server.port)
        try:
            await self.kubelet.run(started)
        finally:
            await server.close(0)
