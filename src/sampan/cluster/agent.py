"""One node's agent: kubelet, proxy and pod network, in the node's network namespace.

It speaks HTTPS to the API server's socket at the node's own address and knows nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from sampan.api.kinds import NODES
from sampan.cluster import credentials, egress, pki, userconfig
from sampan.cluster.config import ClusterConfig
from sampan.cluster.parts import kubelet, proxy
from sampan.cluster.paths import Paths
from sampan.cluster.resolver import RESOLV_CONF, search_domains
from sampan.kubelet.settings import Dns, HostImage, KubeletSettings, Server
from sampan.linux.real import netns
from sampan.linux.real.links import NetlinkLinks
from sampan.linux.real.nft import RealNft
from sampan.loop.component import Component
from sampan.loop.informer import Informer
from sampan.podnet.hostports import NodeHostPorts
from sampan.podnet.podnet import PodNet
from sampan.podnet.podnet import Settings as PodNetSettings
from sampan.proxy.config import configuration
from sampan.std import log
from sampan.std.clock import SystemClock

UNDERLAY_DEVICE = "eth0"
POLL_S = 0.005


def main(config: ClusterConfig, paths: Paths, node: str) -> int:
    """The process, until SIGTERM."""
    netns.enter(paths.netns(node))
    log.setup()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_run(config, paths, node))
    return 0


async def _run(config: ClusterConfig, paths: Paths, node: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    egress.masquerade_node(config)
    working = asyncio.create_task(_work(config, paths, node))
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        task.cancel()
    await asyncio.wait({working, stopping})
    if working in done:
        working.result()


async def _work(config: ClusterConfig, paths: Paths, node: str) -> None:
    """All three at once: none waits for another to start."""
    await _listening(config.node_address(node), config.api_port)
    server = f"https://{config.node_address(node)}:{config.api_port}"
    client = credentials.connection(paths, credentials.kubelet(node), server).client("kubelet")
    proxying = credentials.connection(paths, credentials.proxy(node), server).client("kube-proxy")
    # A kubelet may read its own Node only; the pod network needs all, as the proxy may see them.
    nodes = Informer(proxying, NODES, clock=SystemClock())
    network = PodNet(
        PodNetSettings(
            node, config.node_address(node), UNDERLAY_DEVICE, paths.node_run(node) / "addresses"
        ),
        client, nodes, NetlinkLinks(), open_links,
    )  # fmt: skip
    ports = NodeHostPorts(RealNft(), paths.node_run(node) / "hostports")
    settings = proxy.ProxySettings(node, proxy_config(config, node), pods_cgroup(config, node))
    components: list[Component] = [
        network,
        kubelet.build(client, kubelet_settings(config, paths, node), network, host_ports=ports),
        proxy.build(proxying, settings),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(nodes.run(), name="nodes")
        for component in components:
            group.create_task(_forever(component.run), name=component.name)


async def _listening(address: str, port: int) -> None:
    """Wait for the API server's socket; it is on this machine and comes within moments.

    Without this the first refused request would cost every informer a back-off.
    """
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
            return
        await asyncio.sleep(POLL_S)


async def _forever(run: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
    await run(lambda: None)


def open_links(path: str) -> NetlinkLinks:
    with netns.inside(path):
        return NetlinkLinks()


def proxy_config(config: ClusterConfig, node: str) -> dict[str, object]:
    """KubeProxyConfiguration of a node: the host's own limits are left alone."""
    return configuration() | {
        "mode": config.proxy_mode,
        "clusterCIDR": config.pod_cidr,
        "hostnameOverride": node,
        "conntrack": configuration()["conntrack"] | {"maxPerCore": 0, "min": 0},
    }


def pods_cgroup(config: ClusterConfig, node: str) -> str:
    """The control group of a node's pods: also whose sockets the node's proxy may translate."""
    return f"sampan/{config.name}/{node}"


def kubelet_settings(config: ClusterConfig, paths: Paths, node: str) -> KubeletSettings:
    run, state = paths.node_run(node), paths.node_state(node)
    for folder in (run, state / "manifests"):
        folder.mkdir(parents=True, exist_ok=True)
    crt, key = pki.serving_pair(
        paths.pki, f"kubelet-server-{node}",
        [node, config.node_address(node), "127.0.0.1", "localhost"],
    )  # fmt: skip
    return KubeletSettings(
        node_name=node,
        root_dir=str(state),
        image_dir=str(paths.state / "images"),
        run_dir=str(run),
        cgroup=pods_cgroup(config, node),
        node_ips=(config.node_address(node),),
        node_netns=paths.netns(node),
        pod_manifest_path=str(state / "manifests"),
        dns=Dns((config.dns_address,), config.domain, str(resolv_conf(config, run, node))),
        host_image=HostImage(path=search_path(), hidden=hidden(paths)),
        server=Server(
            config.node_address(node), 10250, crt.read_bytes(), key.read_bytes(),
            (paths.pki / "ca.crt").read_bytes(),
        ),
    )  # fmt: skip


def resolv_conf(config: ClusterConfig, run: Path, node: str) -> Path:
    """The node's own: the resolver at its address, and the host's search domains."""
    path = run / "resolv.conf"
    host = RESOLV_CONF.read_text() if RESOLV_CONF.exists() else ""
    path.write_text(f"nameserver {config.node_address(node)}\n{search_domains(host)}")
    return path


def search_path() -> str:
    """PATH of pods of `localhost/host`: that of `sampan up`, the interpreter's folder first."""
    import sys

    own = str(Path(sys.executable).parent)
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return os.pathsep.join(dict.fromkeys([own, *(part for part in given if part), *usual]))


def hidden(paths: Paths) -> tuple[str, ...]:
    """What no pod of `localhost/host` may see."""
    return (str(paths.state.parent), str(paths.run.parent), str(userconfig.home() / ".kube"))
