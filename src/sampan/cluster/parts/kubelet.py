"""The kubelet with the real kernel: wired for a node's agent, or alone with upstream's flags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sampan.client.client import Client
from sampan.kubelet.assemble import Parts, assemble
from sampan.kubelet.network import HostPorts, PodNetwork
from sampan.kubelet.server.listening import ListeningKubelet
from sampan.kubelet.settings import KubeletSettings
from sampan.linux.real import launcher
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.machine import RealMachine
from sampan.linux.real.mounts import KernelMounts
from sampan.linux.real.processes import LaunchedRuntime
from sampan.std.clock import Clock, SystemClock


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
    )
    settings = _with_certificate(settings)
    kubelet = assemble(client, settings, parts, clock or SystemClock())
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
