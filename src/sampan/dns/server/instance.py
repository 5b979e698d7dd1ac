"""One loaded configuration: its sites grouped by listening address, its plugins started."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sampan.dns.chain import Site
from sampan.dns.plugin import Plugin
from sampan.dns.server.routes import Routes
from sampan.dns.setup import Settings

WARNING = 'Warning: Domain "{}" does not follow RFC1035 preferred syntax'
_PREFERRED = re.compile(r"([A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+")


def quoted(text: str) -> str:
    """The text as it stands between quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)


def is_preferred_name(zone: str) -> bool:
    """Letters, digits and hyphens; reverse zones and the root are not asked."""
    is_reverse = zone.endswith((".in-addr.arpa.", ".ip6.arpa."))
    return zone == "." or is_reverse or _PREFERRED.fullmatch(zone) is not None


class Address(NamedTuple):
    """Where to listen; an empty host is everywhere."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


class Instance:
    """`start` and `stop` are called once; the plugins' background work runs in between."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self.sites = list(sites)
        self.groups: dict[Address, list[Site]] = {}
        for site in self.sites:
            for host in site.settings.hosts:
                address = Address(site.transport, host, int(site.port))
                self.groups.setdefault(address, []).append(site)
        self.plugins: list[Plugin] = _unique(
            part
            for site in self.sites
            for plugin in site.settings.all_plugins()
            for part in plugin.parts()
        )
        self._work: list[asyncio.Task[None]] = []

    def routes(self) -> dict[Address, Routes]:
        return {address: Routes(str(address), sites) for address, sites in self.groups.items()}

    def settings(self, address: Address) -> Settings:
        return self.groups[address][0].settings

    def sockets(self) -> int:
        """How many processes are to answer: the most that any block wishes for."""
        return max((site.settings.sockets for site in self.sites), default=1)

    def listing(self) -> str:
        """What is served, as it is printed after the start."""
        lines = []
        for address, sites in self.groups.items():
            prefix = "" if address.transport == "dns" else f"{address.transport}://"
            host = f" on {address.host}" if address.host else ""
            sockets = max(site.settings.sockets for site in sites)
            for zone in sorted({site.zone for site in sites}) * sockets:
                if not is_preferred_name(zone):
                    lines.append(WARNING.format(quoted(zone)))
                lines.append(f"{prefix}{zone}:{address.port}{host}")
        return "\n".join(lines)

    async def start(self) -> None:
        """Plugins in order; what has started is stopped again if one fails."""
        started: list[Plugin] = []
        try:
            for plugin in self.plugins:
                await plugin.start()
                started.append(plugin)
        except BaseException:
            for plugin in reversed(started):
                await plugin.stop()
            raise

    def work(self, panic: Callable[[Exception], None]) -> None:
        """Begin what plugins do for ever."""
        loop = asyncio.get_running_loop()
        self._work = [loop.create_task(_run(p, panic)) for p in self.plugins if p.has_work]

    async def shut_down(self) -> None:
        """The process is going to end: every plugin may take its time, all at once."""
        await asyncio.gather(*(plugin.shut_down() for plugin in self.plugins))

    async def stop(self) -> None:
        # Whoever asked for the reload that ends us is one of ours, and goes on until it is done.
        others = [task for task in self._work if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        for task in others:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for plugin in self.plugins:
            await plugin.stop()


async def _run(plugin: Plugin, panic: Callable[[Exception], None]) -> None:
    """One plugin's work; its failure is told, and ends no other's."""
    try:
        await plugin.run()
    except Exception as bad:  # noqa: BLE001 - whatever it was, the rest goes on
        panic(bad)


def _unique(plugins: Iterable[Plugin]) -> list[Plugin]:
    return list({id(plugin): plugin for plugin in plugins}.values())
