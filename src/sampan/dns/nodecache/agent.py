"""The life of a node's cache: interface, Corefile, server, rules; and all of it taken back.

The rules come last, once the server answers, and go first: a cache that cannot start never draws
queries to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sampan.dns.corefile import CorefileError
from sampan.dns.nodecache.template import BadConfig, DnsConfig, Node, base, corefile, read_config
from sampan.dns.server.instance import Instance
from sampan.dns.server.process import Process
from sampan.dns.setup import Log
from sampan.linux.base.iptables import IptablesError
from sampan.linux.base.links import Link, Links
from sampan.linux.base.nft import NftError
from sampan.std.clock import Clock
from sampan.std.metrics import Registry

CONFIG_S = 10.0
DEFAULT_CONFIG = "/etc/kube-dns"
TROUBLES = (OSError, NftError, IptablesError)


class Rules(Protocol):
    def ensure(self) -> bool: ...

    def remove(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    node: Node
    corefile: str
    base_corefile: str
    config_folder: str = ""
    interface: str = "nodelocaldns"
    sync_s: float = 60.0
    skip_teardown: bool = False
    reload_now: bool = False
    """Reload by ourselves when the Corefile was written anew, without the *reload* plugin."""


class Failures:
    """`coredns_nodecache_setup_errors_total` by kind."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._total = self.registry.counter(
            "coredns_nodecache_setup_errors_total",
            "The number of errors during periodic network setup for node-cache",
            ("errortype",),
        )
        for kind in ("iptables", "iptables_lock", "interface_add", "interface_check", "configmap"):
            self._total.labels(kind)

    def count(self, kind: str) -> None:
        self._total.labels(kind).inc()


class NodeCache:
    """`links` and `rules` are None where the flags say to leave them alone."""

    def __init__(
        self, settings: Settings, links: Links | None, rules: Rules | None, log: Log, clock: Clock
    ) -> None:
        self.settings = settings
        self.links = links
        self.rules = rules
        self.log = log
        self.clock = clock
        self.failures = Failures()
        self._kind = "dummy"
        self._written: tuple[str, DnsConfig] | None = None

    async def run(self, make: Callable[[], Process]) -> int:
        """Serve until a signal. Raises CorefileError and OSError when there is no start."""
        self.write_corefile()
        process = make()
        process.ended = asyncio.get_running_loop().create_future()
        work: list[asyncio.Task[None]] = []
        # A wrong Corefile is noticed before anything draws queries to us.
        instance = self._loaded(process)
        self.ensure_interface()
        try:
            await process.begin(instance)
            work = [
                asyncio.create_task(self._keep_network()),
                asyncio.create_task(self._keep_config(process)),
            ]
            return await process.ended
        finally:
            for task in work:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self.tear_down()
            await process.close()

    def _loaded(self, process: Process) -> Instance:
        """With a ConfigMap that cannot be served (a stub domain that is a zone of the template,
        say) the template alone is better than nothing. Raises CorefileError.
        """
        try:
            return process.load()
        except CorefileError as bad:
            if self._written is None or self._written[1] == DnsConfig():
                raise
            self._failed("configmap", f"Invalid config: {bad}")
            self._write(self._written[0], DnsConfig())
            return process.load()

    async def _keep_network(self) -> None:
        while True:
            self.ensure_rules()
            self.ensure_interface()
            await self.clock.sleep(self.settings.sync_s)

    async def _keep_config(self, process: Process) -> None:
        while True:
            await self.clock.sleep(CONFIG_S)
            if self.write_corefile() and self.settings.reload_now:
                await process.reload()

    # Steps

    def write_corefile(self) -> bool:
        """Fill the template in; whether the Corefile is another one now."""
        settings = self.settings
        try:
            template = Path(settings.base_corefile).read_text()
        except FileNotFoundError:
            template = base(settings.node)
        except OSError as bad:
            return self._failed("configmap", f"cannot read {settings.base_corefile}: {bad}")
        try:
            config = self._config()
        except BadConfig as bad:
            self._failed("configmap", f"Invalid config: {bad}")
            config = self._written[1] if self._written else DnsConfig()
        if self._written == (template, config):
            return False
        if not self._write(template, config):
            return False
        self._written = (template, config)
        upstreams = " ".join(config.upstreams) or "/etc/resolv.conf"
        self.log.info(
            f"Updated Corefile with {len(config.stubs)} custom stubdomains "
            f"and upstream servers {upstreams}"
        )
        return True

    def _write(self, template: str, config: DnsConfig) -> bool:
        text = corefile(template, self.settings.node, config)
        try:
            Path(self.settings.corefile).write_text(text)
        except OSError as bad:
            return self._failed("configmap", f"Failed to write config file: {bad}")
        return True

    def _config(self) -> DnsConfig:
        folder = self.settings.config_folder
        if not folder and not Path(DEFAULT_CONFIG).is_dir():
            return DnsConfig()
        return read_config(folder or DEFAULT_CONFIG)

    def ensure_interface(self) -> bool:
        if self.links is None:
            return True
        name = self.settings.interface
        try:
            known = any(one.name == name for one in self.links.all())
            self._ensure_link(self.links, name)
        except OSError as bad:
            return self._failed("interface_add", f"Error setting up {name}: {bad}")
        if not known:
            self.log.info(f"Added interface - {name}")
        return True

    def _ensure_link(self, links: Links, name: str) -> None:
        ips = self.settings.node.ips
        addresses = tuple(f"{ip}/{128 if ':' in ip else 32}" for ip in ips)
        try:
            links.ensure(Link(name, self._kind, addresses=addresses))
        except OSError as bad:
            if bad.errno != errno.EOPNOTSUPP or self._kind != "dummy":
                raise
            # A kernel without the dummy driver: a bridge without ports holds addresses as well.
            self._kind = "bridge"
            links.ensure(Link(name, self._kind, addresses=addresses))

    def ensure_rules(self) -> bool:
        if self.rules is None:
            return True
        try:
            if self.rules.ensure():
                self.log.info("Added nodelocaldns rules")
        except TROUBLES as bad:
            kind = "iptables_lock" if "xtables lock" in str(bad) else "iptables"
            return self._failed(kind, f"Error checking/adding rules: {bad}")
        return True

    def tear_down(self) -> None:
        if self.settings.skip_teardown:
            return
        self.log.info("Tearing down")
        try:
            if self.rules is not None:
                self.rules.remove()
            if self.links is not None:
                self.links.delete(self.settings.interface)
        except TROUBLES as bad:
            self._failed("iptables", f"Failed tearing down: {bad}")

    def _failed(self, kind: str, text: str) -> bool:
        self.failures.count(kind)
        self.log.error(text)
        return False
