"""A node's DNS cache with the real kernel: flags to a running process."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from sampan import __version__
from sampan.cluster.parts.dns import banner, loop_named
from sampan.cluster.parts.guarded import guarded
from sampan.dns.corefile import CorefileError
from sampan.dns.log import StandardOutput
from sampan.dns.nodecache.agent import NodeCache, Rules, Settings
from sampan.dns.nodecache.rules import IptablesRules, NftRules, Where
from sampan.dns.nodecache.template import Node
from sampan.dns.server.feeds import SameLoop
from sampan.dns.server.pages import HttpPages
from sampan.dns.server.process import Options, Process
from sampan.dns.setup import World
from sampan.linux.base.nft import NftError
from sampan.linux.real.addresses import local_addresses
from sampan.linux.real.iptables import RealIptables
from sampan.linux.real.links import NetlinkLinks
from sampan.linux.real.nft import RealNft
from sampan.std.clock import SystemClock
from sampan.std.http import Request, Response
from sampan.std.metrics import CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Flags:
    """Upstream's flags, read; `rules` is our own: auto, nftables or iptables."""

    ips: tuple[str, ...]
    corefile: str = "/etc/Corefile"
    base_corefile: str = "/etc/coredns/Corefile.base"
    config_folder: str = ""
    upstream: str = "kube-dns"
    port: str = "53"
    health_port: str = "8080"
    metrics: str = "0.0.0.0:9353"
    interface: str = "nodelocaldns"
    setup_interface: bool = True
    setup_rules: bool = True
    rules: str = "auto"
    skip_teardown: bool = False
    reload_now: bool = False
    quiet: bool = False
    sync_s: float = 60.0
    pidfile: str = ""
    domain: str = "cluster.local"


def run(flags: Flags) -> int:
    """Serve until a signal; the exit code. However the server ends, rules and interface go."""
    if flags.skip_teardown or not (flags.setup_rules or flags.setup_interface):
        return _run(flags)
    return guarded(lambda: _run(flags), lambda: _node_cache(flags).tear_down())


def _run(flags: Flags) -> int:
    cache = _node_cache(flags)
    try:
        return asyncio.run(_serve(flags, cache))
    except (CorefileError, OSError) as bad:
        sys.stderr.write(f"{bad}\n")
        return 1


def _node_cache(flags: Flags) -> NodeCache:
    where = Where(flags.ips, flags.port, flags.health_port)
    links = NetlinkLinks() if flags.setup_interface else None
    rules = _rules(flags.rules, where) if flags.setup_rules else None
    return NodeCache(_settings(flags), links, rules, StandardOutput(), SystemClock())


def _settings(flags: Flags) -> Settings:
    node = Node(flags.ips, cluster_dns(flags.upstream), flags.port, flags.health_port, flags.domain)
    return Settings(
        node, flags.corefile, flags.base_corefile, flags.config_folder, flags.interface,
        flags.sync_s, flags.skip_teardown, flags.reload_now,
    )  # fmt: skip


def cluster_dns(service: str) -> str:
    """The address that pods are told of in their environment; an address stands for itself."""
    variable = service.replace("-", "_").upper() + "_SERVICE_HOST"
    found = os.environ.get(variable, "")
    return found or (service if service[:1].isdigit() or ":" in service else "")


def _rules(kind: str, where: Where) -> Rules:
    if kind != "iptables":
        try:
            return NftRules(RealNft(), where)
        except (OSError, NftError):
            if kind == "nftables":
                raise
    return IptablesRules(RealIptables(6 if where.six else 4), where)


async def _serve(flags: Flags, cache: NodeCache) -> int:
    pages = HttpPages()

    async def metrics(request: Request) -> Response:
        body = cache.failures.registry.render().encode()
        return Response(200, {"content-type": CONTENT_TYPE}, body)

    try:
        await pages.serve(flags.metrics, metrics)
    except OSError as bad:
        # The node's names come before its figures; the one before us may not be gone yet.
        cache.log.error(f"Failed to start metrics handler: {bad}")

    def make() -> Process:
        world = World(cache.log, pages, SameLoop(), environment=os.environ)
        world.version = __version__
        world.addresses = local_addresses
        options = Options(flags.corefile, flags.port, flags.quiet, banner=banner())
        process = Process(options, world, loop_named("auto"))
        if flags.pidfile:
            with open(flags.pidfile, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
        return process

    return await cache.run(make)
