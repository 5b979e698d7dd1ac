"""The kubelet with the real kernel: wired for a node's agent, or alone with upstream's flags."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sampan.api.kinds import NODES
from sampan.client.client import Client
from sampan.cluster.parts.images import image_store
from sampan.kubelet.assemble import Parts, assemble
from sampan.kubelet.network import HostPorts, PodNetwork
from sampan.kubelet.server.listening import ListeningKubelet
from sampan.kubelet.settings import KubeletSettings
from sampan.linux.real import launcher, netns
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.links import NetlinkLinks
from sampan.linux.real.machine import RealMachine
from sampan.linux.real.mounts import KernelMounts
from sampan.linux.real.nft import RealNft
from sampan.linux.real.processes import LaunchedRuntime
from sampan.loop.informer import Informer
from sampan.podnet.hostports import NodeHostPorts
from sampan.podnet.podnet import PodNet
from sampan.podnet.podnet import Settings as PodNetSettings
from sampan.std.clock import Clock, SystemClock


class CannotRun(Exception):
    """One line: what is missing, and what to do."""


def build(
    client: Client,
    settings: KubeletSettings,
    network: PodNetwork,
    *,
    host_ports: HostPorts | None = None,
    clock: Clock | None = None,
) -> ListeningKubelet:
    """One node's kubelet as a component; it has started once the node is registered.

    `client` speaks as the node (`system:node:<name>`). Call it in the node's network namespace and
    in the machine's mount namespace: the server listens there, probes go out from there, and the
    volumes are seen by the launcher. The launcher of `settings.run_dir` should run already
    (`launcher.spawn`, early, while the process is small); where it does not, or dies, one is
    started from here when it is needed.
    """

    clock = clock or SystemClock()

    def revive() -> None:
        if not launcher.serving(settings.run_dir):
            launcher.spawn_detached(
                settings.run_dir, cgroup=settings.cgroup, state_dir=settings.root_dir
            )

    parts = Parts(
        runtime=LaunchedRuntime(settings.run_dir, revive),
        machine=RealMachine(),
        mounts=KernelMounts(),
        network=network,
        host_ports=host_ports,
        images=image_store(settings.image_dir or f"{settings.root_dir}/images", clock),
    )
    kubelet = assemble(client, _with_certificate(settings), parts, clock)
    return ListeningKubelet(kubelet, client, KernelCgroups())


def _with_certificate(settings: KubeletSettings) -> KubeletSettings:
    """One of its own making where none was given; the API server does not check it then."""
    server = settings.server
    if server.certificate:
        return settings
    from sampan.cluster import pki

    names = [settings.node_name, *settings.node_ips, "127.0.0.1", "localhost"]
    crt, key = pki.serving_pair(Path(settings.root_dir) / "pki", "kubelet", names)
    made = replace(server, certificate=crt.read_bytes(), key=key.read_bytes())
    return replace(settings, server=made)


class Alone:
    """A component: a kubelet with a pod network of its own, for `sampan kubelet`.

    `lister` may list all Nodes, which a kubelet's own credential may not: through it the pods of
    other nodes are reached. Without it the network ends at this node.
    """

    name = "kubelet"

    def __init__(
        self, client: Client, settings: KubeletSettings, device: str, lister: Client | None = None
    ) -> None:
        self.client, self.settings, self.device = client, settings, device
        self.lister = lister

    async def run(self, started: Callable[[], None]) -> None:
        client, settings = self.client, self.settings
        clock = SystemClock()
        own = "" if self.lister else f"metadata.name={settings.node_name}"
        nodes = Informer(self.lister or client, NODES, fields=own, clock=clock)
        where = PodNetSettings(
            settings.node_name,
            settings.node_ips[0],
            self.device,
            Path(settings.run_dir) / "addresses",
        )
        network = PodNet(where, client, nodes, NetlinkLinks(), open_links)
        ports = NodeHostPorts(RealNft(), Path(settings.run_dir) / "hostports")
        kubelet = build(client, settings, network, host_ports=ports, clock=clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            group.create_task(network.run(lambda: None))
            group.create_task(kubelet.run(started))


def open_links(path: str) -> NetlinkLinks:
    with netns.inside(path):
        return NetlinkLinks()


def device_of(address: str) -> str:
    """The link that holds an address. Raises CannotRun."""
    links = NetlinkLinks()
    try:
        for link in links.all():
            if address in (text.partition("/")[0] for text in link.addresses):
                return link.name
    finally:
        links.close()
    raise CannotRun(f"--node-ip {address}: no link of this machine has that address")


def own_address() -> str:
    """Where this machine would speak from. Raises CannotRun."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            text = "this machine has no default route; say its address with --node-ip"
            raise CannotRun(text) from None
        address: str = probe.getsockname()[0]
        return address
