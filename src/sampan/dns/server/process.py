"""The running server: sockets that outlive a reload, the configuration behind them, signals.

Corefile -> Instance -> one Answerer per address <- UDP, TCP, TLS, HTTPS
                ^ swapped on a reload, the sockets stay
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.dns import corefile
from sampan.dns.chain import sites
from sampan.dns.corefile import CorefileError
from sampan.dns.plugins import PLUGINS
from sampan.dns.server import doh
from sampan.dns.server.answer import Answerer
from sampan.dns.server.instance import Address, Instance
from sampan.dns.server.routes import Routes
from sampan.dns.server.siblings import Siblings
from sampan.dns.server.tcp import Limits, TcpListener, listen
from sampan.dns.server.udp import UdpListener
from sampan.dns.setup import Settings, Tap, World
from sampan.dns.top import Top
from sampan.linux.base.datagrams import OpenDatagrams

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    conf: str = "Corefile"
    port: str = "53"
    quiet: bool = False
    plugins: Mapping[str, str] = field(default_factory=lambda: PLUGINS)
    banner: str = ""


@dataclass(slots=True)
class Listener:
    """Everything that listens at one address, with the answerer behind it."""

    answerer: Answerer
    udp: UdpListener | None = None
    tcp: TcpListener | None = None
    https: doh.HttpsListener | None = None

    async def close(self) -> None:
        for part in (self.udp, self.tcp, self.https):
            if part is not None:
                await part.close()


class Process:
    """`serve` runs until a signal, or `stop`; the exit code comes back."""

    def __init__(
        self,
        options: Options,
        world: World,
        open_datagrams: OpenDatagrams,
        siblings: Siblings | None = None,
    ) -> None:
        self.options = options
        self.siblings = siblings
        self.world = world
        self.open_datagrams = open_datagrams
        self.instance: Instance | None = None
        self.listeners: dict[Address, Listener] = {}
        self.ended: asyncio.Future[int] | None = None
        self._piped: str | None = None
        self._top = Top()
        world.changed = self._changed
        world.reload = self.reload
        world.corefile = self.expanded
        world.tell = self.tell
        world.tap = self.tap
        if siblings is not None:
            world.others = siblings

    # Loading

    def load(self) -> Instance:
        """Read the Corefile and set everything up. Raises CorefileError."""
        source = corefile.Sources(
            self.options.plugins, self.world.environment, self.world.log.warning
        )
        text, name = self._text()
        blocks = corefile.parse(text, name, source)
        return Instance(sites(blocks, self.world, self.options.plugins, self.options.port))

    def _text(self) -> tuple[str, str]:
        """The Corefile; a server that was given none answers as `whoami` does."""
        name = self.options.conf
        if name == "stdin":
            # Read once: a reload finds nothing new there.
            if self._piped is None:
                self._piped = sys.stdin.read()
            return self._piped, name
        try:
            # Comments may be in any encoding.
            with open(name, encoding="utf-8", errors="replace") as file:
                return file.read(), name
        except FileNotFoundError:
            if name == "Corefile":
                return f".:{self.options.port} {{\n whoami\n log\n}}\n", name
            raise CorefileError(
                f"loading Caddyfile via flag: open {name}: no such file or directory"
            ) from None
        except OSError as bad:
            raise CorefileError(f"loading Caddyfile via flag: {bad}") from bad

    def expanded(self) -> bytes:
        """The words of the Corefile with imports put in: what a reload compares. Raises
        CorefileError.
        """
        source = corefile.Sources(self.options.plugins, self.world.environment)
        text, name = self._text()
        return repr(corefile.parse(text, name, source)).encode()

    # Living

    async def serve(self) -> int:
        """Start, answer, end; 0 after an orderly end. Raises CorefileError and OSError."""
        self.ended = asyncio.get_running_loop().create_future()
        instance = self.load()
        if self.siblings is not None:
            # Before anything is open that a child must not have.
            self.siblings.start(instance.sockets() - 1)
        await self.begin(instance)
        code = await self.ended
        await self.close()
        return code

    async def begin(self, instance: Instance) -> None:
        await self._replace(instance)
        # Whoever reads the listing may signal at once.
        self._take_signals()
        if not self.options.quiet:
            self.world.log.plain(instance.listing() + self.options.banner)
        instance.work(self._panic)

    def _opened(self, instance: Instance) -> dict[Address, Listener]:
        """Listeners for addresses that nobody listened at before; all or none."""
        fresh: dict[Address, Listener] = {}
        try:
            for address, routes in instance.routes().items():
                if address not in self.listeners:
                    fresh[address] = self._open(address, routes, instance.settings(address))
        except OSError:
            for listener in fresh.values():
                _let_go(listener)
            raise
        return fresh

    def _open(self, address: Address, routes: Routes, settings: Settings) -> Listener:
        world = self.world
        answerer = Answerer(routes, world.clock, world.chance, self._panic)
        if not 0 <= address.port <= HIGHEST_PORT:
            raise OSError(f"address {address.port}: invalid port")
        # Who can connect may take it that datagrams arrive too.
        datagrams = None
        try:
            if address.transport == "dns":
                datagrams = self.open_datagrams(address.host, address.port)
            sock = listen(address.host, address.port)
        except OSError as bad:
            if datagrams is not None:
                datagrams.close()
            where = f"{address.host}:{address.port}"
            why = (bad.strerror or str(bad)).lower()
            raise OSError(f"Listen: listen tcp {where}: bind: {why}") from bad
        listener = Listener(answerer)
        limits = Limits(
            settings.read_timeout_s, settings.idle_timeout_s, settings.write_timeout_s,
            settings.max_tcp_queries,
        )  # fmt: skip
        if address.transport == "https":
            listener.https = doh.HttpsListener(sock, answerer, settings.tls, settings.paths)
            return listener
        tls = settings.tls if address.transport == "tls" else None
        listener.tcp = TcpListener(sock, answerer, limits, tls)
        if datagrams is not None:
            listener.udp = UdpListener(datagrams, answerer)
        return listener

    async def _attach(self, instance: Instance, fresh: Mapping[Address, Listener]) -> None:
        """Put the new routes behind the old sockets, start new sockets, close the unneeded."""
        for address, routes in instance.routes().items():
            if address in fresh:
                self.listeners[address] = fresh[address]
                await _start(fresh[address])
            else:
                self.listeners[address].answerer.swap(routes)
            self._configure(address, instance.settings(address))
        for address in [a for a in self.listeners if a not in instance.groups]:
            await self.listeners.pop(address).close()

    def _configure(self, address: Address, settings: Settings) -> None:
        listener = self.listeners[address]
        if listener.udp is not None and settings.shed:
            listener.udp.max_pending = settings.shed

    async def reload(self) -> str:
        """Take the Corefile as it is now; on failure the old one stays, and why is returned."""
        old = self.instance
        self.world.log.info("Reloading")
        try:
            fresh = self.load()
            await self._replace(fresh)
        except (CorefileError, OSError) as bad:
            self.world.log.error(f"Restart failed: {bad}")
            return str(bad)
        fresh.work(self._panic)
        await asyncio.sleep(0)  # what begins speaks before the reload is called complete
        if self.siblings is not None:
            self.siblings.reload()
        if old is not None:
            await old.stop()
        self.world.log.info("Reloading complete")
        return ""

    async def _replace(self, instance: Instance) -> None:
        await instance.start()
        try:
            fresh = self._opened(instance)
        except BaseException:
            await instance.stop()
            raise
        self.instance = instance
        await self._attach(instance, fresh)

    async def answer(self) -> None:
        """As one of several processes: the first one reloads, lists and takes the signals."""
        same = self.expanded()
        self.world.corefile = lambda: same
        instance = self.load()
        await self._replace(instance)
        instance.work(self._panic)

    def counters(self) -> str:
        self.tell()
        return self.world.counters.page()

    def watch(self) -> None:
        self._top = Top()
        self.tap(self._top.tap)

    def seen(self) -> str:
        self.tap(None)
        return self._top.dump()

    async def close(self) -> None:
        """Stop answering, then the plugins."""
        if self.siblings is not None:
            self.siblings.close()
        for listener in self.listeners.values():
            await listener.close()
        self.listeners.clear()
        if self.instance is not None:
            await self.instance.stop()

    def _changed(self, tags: Sequence[Hashable]) -> None:
        for listener in self.listeners.values():
            listener.answerer.memo.drop(tags)

    def tell(self) -> None:
        """Let the counters know of what the fast path answered."""
        for address, listener in self.listeners.items():
            listener.answerer.memo.tell()
            if listener.udp is not None and listener.udp.shed:
                self.world.counters.shed.labels(str(address)).inc(listener.udp.shed)
                listener.udp.shed = 0

    def tap(self, tap: Tap | None) -> None:
        for listener in self.listeners.values():
            listener.answerer.tap = tap

    def _panic(self, bad: Exception) -> None:
        self.world.counters.panics_total.inc()
        self.world.log.error(f"Recovered from panic in server: {type(bad).__name__}: {bad}")

    # Signals

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, self._end, "SIGINT")
        loop.add_signal_handler(signal.SIGQUIT, lambda: os._exit(3))
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        loop.add_signal_handler(signal.SIGUSR1, lambda: loop.create_task(self._reload_on_signal()))

    async def _reload_on_signal(self) -> None:
        await self.reload()

    def _end(self, name: str) -> None:
        how = "Shutting down servers then terminating" if name == "SIGTERM" else "Shutting down"
        self.world.log.info(f"{name}: {how}")
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(getattr(signal, name))
        loop.create_task(self._wind_down())  # noqa: RUF006 - ends the process itself

    async def _wind_down(self) -> None:
        if self.instance is not None:
            await self.instance.shut_down()
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(0)


def _let_go(listener: Listener) -> None:
    """Close the sockets of a listener that never started."""
    if listener.udp is not None:
        listener.udp.datagrams.close()
    for part in (listener.tcp, listener.https):
        if part is not None:
            part.sock.close()


async def _start(listener: Listener) -> None:
    if listener.tcp is not None:
        await listener.tcp.start()
    if listener.https is not None:
        await listener.https.start()
    if listener.udp is not None:
        listener.udp.start()
