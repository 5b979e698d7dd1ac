"""The machine's network for one cluster: node namespaces, the underlay, the host's one link.

    host ── sampan0 ─┐             (one veth and routes; nothing else of the host is touched)
                     │ fabric: a namespace that holds only the bridge `underlay`
    node1: eth0 ─────┤
    node2: eth0 ─────┘             (each node a namespace with cni0, flannel.1, rules of its own)

Everything is pinned under the run folder; removing the namespaces removes all that is in them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.linux.base.links import Link, Route, Veth
from sampan.linux.real import netns
from sampan.linux.real.links import NetlinkLinks

UNDERLAY = "underlay"
LINKS_FOLDER = Path("/run/netns")
# Inside a node's namespace: forward, and never tell a pod to take a shorter way (it has none).
NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
}


class RangeBusy(Exception):
    """A range is in use on this machine; names it, its user and the flag that moves it."""


def host_link(name: str) -> str:
    """The host's end of the veth: 15 characters at most, one for each cluster."""
    return "sampan0" if name == "sampan" else f"sp-{name}"[:15]


def netns_link(name: str, node: str) -> Path:
    """What `ip netns exec` knows the node as: `sampan-node1`."""
    return LINKS_FOLDER / f"{name}-{node}"


@contextlib.contextmanager
def _links(path: str = "") -> Iterator[NetlinkLinks]:
    with netns.inside(path) if path else contextlib.nullcontext():
        links = NetlinkLinks()
    with contextlib.closing(links):
        yield links


def check_ranges(config: ClusterConfig) -> None:
    """Raises RangeBusy when the machine uses one of the cluster's ranges already."""
    wanted = [
        ("--service-cidr", ipaddress.ip_network(config.service_cidr)),
        ("--pod-cidr", ipaddress.ip_network(config.pod_cidr)),
        ("--node-cidr", ipaddress.ip_network(config.node_cidr)),
    ]
    own = host_link(config.name)
    with _links() as links:
        used = [(r.to, r.device) for r in links.routes() if not r.to.endswith("/0")]
        for link in links.all():
            used += [(a, link.name) for a in link.addresses]
    for text, device in used:
        there = ipaddress.ip_interface(text).network
        if device == own or there.is_loopback:
            continue
        for flag, network in wanted:
            if there.version == 4 and network.overlaps(there):
                where = f"{text} on {device}"
                raise RangeBusy(f"{network} is in use here ({where}); choose another {flag}")


def create(config: ClusterConfig, paths: Paths) -> None:
    """Make what is missing; what stands already is kept."""
    if not netns.is_pinned(paths.fabric):
        _pin(paths.fabric)
    with _links(paths.fabric) as fabric:
        fabric.up("lo")
        fabric.ensure(Link(UNDERLAY, "bridge"))
        _without_bridge_filter(paths.fabric)
        for node in config.node_names:
            _node(config, paths, node, fabric)
        _host(config, paths, fabric)


def _pin(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    netns.create(path)


def _without_bridge_filter(path: str) -> None:
    with netns.inside(path):
        _write_sysctls({k: v for k, v in NODE_SYSCTLS.items() if k.startswith("net/bridge")})


def _write_sysctls(values: dict[str, str]) -> None:
    for key, value in values.items():
        # A kernel without IPv6 or bridge filtering lacks the file, and with it the need.
        with contextlib.suppress(FileNotFoundError):
            Path("/proc/sys", key).write_text(value)


def _node(config: ClusterConfig, paths: Paths, node: str, fabric: NetlinkLinks) -> None:
    path = paths.netns(node)
    if not netns.is_pinned(path):
        _pin(path)
    LINKS_FOLDER.mkdir(parents=True, exist_ok=True)
    link = netns_link(config.name, node)
    if not link.is_symlink():
        link.symlink_to(path)
    fabric.ensure_veth(Veth(f"v-{node}", "eth0", path, master=UNDERLAY))
    with netns.inside(path):
        _write_sysctls(NODE_SYSCTLS)
    with _links(path) as links:
        links.up("lo")
        links.up("eth0")
        address = config.node_address(node)
        links.set_address("eth0", f"{address}/{config.node_prefix}")
        links.add_routes([Route("0.0.0.0/0", via=config.host_address, device="eth0")])


def _host(config: ClusterConfig, paths: Paths, fabric: NetlinkLinks) -> None:
    name = host_link(config.name)
    with _links() as host:
        if not any(link.name == name for link in host.all()):
            host.ensure_veth(Veth(name, "host", paths.fabric))
        fabric.ensure_veth(Veth("host", "", "", master=UNDERLAY))
        host.set_address(name, f"{config.host_address}/{config.node_prefix}")
        first = config.node_address(config.node_names[0])
        host.add_routes([Route(config.service_cidr, via=first, device=name)])


def host_pod_routes(config: ClusterConfig, cidrs: dict[str, str]) -> None:
    """Lead each pod range (range -> node address) to its node, so that both ways are the same."""
    name = host_link(config.name)
    first = config.node_address(config.node_names[0])
    routes = [Route(config.service_cidr, via=first, device=name)]
    routes += [Route(cidr, via=address, device=name) for cidr, address in cidrs.items()]
    with _links() as host:
        host.sync_routes(name, routes)


def remove(config_name: str, paths: Paths) -> None:
    """Take everything away again, from what the disk says alone; absent things are no error."""
    with _links() as host:
        host.delete(host_link(config_name))
    folder = paths.run / "netns"
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            if path.is_file():
                netns.remove(str(path))
    with contextlib.suppress(FileNotFoundError):
        for link in LINKS_FOLDER.iterdir():
            if link.is_symlink() and str(os.readlink(link)).startswith(f"{folder}/"):
                link.unlink()


class Locked(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """An exclusive lock on a file, without waiting; a child does not inherit it. Raises Locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Locked(str(path)) from None
            raise
        yield
    finally:
        os.close(fd)
