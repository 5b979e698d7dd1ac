"""The control plane: API server, controllers and scheduler in one process.

They talk over the in-process transport, each with an identity of its own, through the same
authentication, RBAC and admission as everybody else.

    127.0.0.1:6443 (host)  nodeN:6443 (sockets made inside each node's namespace)
             └──────────── API server ── store
                               │ in process
       controllers   scheduler   add-ons   host routes   supervisor watch
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from sampan.api.kinds import NODES
from sampan.client.client import Client
from sampan.client.inproc import InProcTransport
from sampan.cluster import credentials, egress, processes, supervisor
from sampan.cluster.addons.applying import Addons
from sampan.cluster.config import ClusterConfig
from sampan.cluster.hostroutes import HostRoutes
from sampan.cluster.identities import Identities
from sampan.cluster.parts import apiserver, controllers, scheduler
from sampan.cluster.parts.apiserver_flags import Flags
from sampan.cluster.paths import Paths
from sampan.linux.real import netns
from sampan.loop.component import Component
from sampan.loop.informers import Informers
from sampan.loop.supervisor import Supervisor
from sampan.std import log
from sampan.std.clock import SystemClock
from sampan.std.httpd import listener

_LOG = log.get("controlplane")


def main(config: ClusterConfig, paths: Paths, node: str) -> int:
    """The process, until SIGTERM."""
    apiserver.raise_file_limit()
    log.setup()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_run(config, paths))
    return 0


async def _run(config: ClusterConfig, paths: Paths) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    identities = Identities()
    running = await apiserver.start(
        flags(config, paths),
        own_tokens=identities.tokens,
        sockets=[node_socket(config, paths, node) for node in config.node_names],
    )
    if egress.wanted(config):
        egress.open_host(config)

    def client(user: str, *groups: str) -> Client:
        headers = identities.headers(user, *groups)
        return Client(InProcTransport(running.api.app.handle, headers), user_agent=user)

    working = asyncio.create_task(_components(config, paths, client).run())
    following = asyncio.create_task(running.api.run())
    stopping = asyncio.create_task(stop.wait())
    tasks = {working, following, stopping}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await running.close()
    for task in done - {stopping}:
        task.result()


def warm_up() -> None:
    """Load what the first request would: the catalogue and the YAML parser."""
    import yaml

    apiserver.catalog()
    assert yaml.__version__


def flags(config: ClusterConfig, paths: Paths) -> Flags:
    return Flags(
        data_dir=paths.state,
        bind_address="127.0.0.1",
        secure_port=config.api_port,
        service_cluster_ip_range=config.service_cidr,
        names=(
            *map(config.node_address, config.node_names),
            f"kubernetes.default.svc.{config.domain}",
        ),
        endpoints=tuple(map(config.node_address, config.node_names)),
    )


def node_socket(config: ClusterConfig, paths: Paths, node: str) -> socket.socket:
    """A listening socket that lives in the node's namespace."""
    with netns.inside(paths.netns(node)):
        return listener(config.node_address(node), config.api_port)


def _components(config: ClusterConfig, paths: Paths, client: Callable[..., Client]) -> Supervisor:
    admin = client("system:sampan", credentials.MASTERS)
    informers = Informers(admin, SystemClock())
    components: list[Component] = [
        SupervisorWatch(config, paths),
        HostRoutes(config, informers.of(NODES)),
        informers,
        controllers.build(
            lambda user: client(user, *GROUPS.get(user, ())),
            controllers.settings(controller_flags(config, paths)),
        ),
        scheduler.build(client("system:kube-scheduler")),
        Addons(config, admin),
    ]
    return Supervisor(components, "controlplane")


# The shared caches read everything; the default role of this user covers what it writes.
GROUPS = {"system:kube-controller-manager": (credentials.MASTERS,)}


def controller_flags(config: ClusterConfig, paths: Paths) -> controllers.Flags:
    ca, key = str(paths.pki / "ca.crt"), str(paths.pki / "ca.key")
    return controllers.Flags(
        cluster_cidr=config.pod_cidr,
        allocate_node_cidrs=True,
        root_ca_file=ca,
        cluster_signing_cert_file=ca,
        cluster_signing_key_file=key,
        service_account_private_key_file=str(paths.pki / "sa.key"),
    )


class SupervisorWatch:
    """Makes a new supervisor when the old one is gone."""

    name = "supervisorwatch"

    def __init__(self, config: ClusterConfig, paths: Paths) -> None:
        self.config, self.paths = config, paths

    async def run(self, started: Callable[[], None]) -> None:
        started()
        loop = asyncio.get_running_loop()
        while True:
            fd = self._fd()
            if fd is None:
                _LOG.warning("the supervisor is gone; making a new one")
                supervisor.respawn(self.paths, self.config.name)
                await asyncio.sleep(0.5)
                continue
            ended = asyncio.Event()
            loop.add_reader(fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)

    def _fd(self) -> int | None:
        for process in processes.living(self.paths.processes):
            if process.component == supervisor.SUPERVISOR:
                return processes.watch_fd(process)
        return None
