"""The kubelet with the real kernel: wired for a node's agent, or alone with upstream's flags."""

from __future__ import annotations

from sampan.client.client import Client
from sampan.kubelet.assemble import Parts, assemble
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network import HostPorts, PodNetwork
from sampan.kubelet.settings import KubeletSettings
from sampan.linux.real import launcher
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
) -> Kubelet:
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
    return assemble(client, settings, parts, clock or SystemClock())
