"""*loop* notices a server that forwards to itself, and ends it before it eats the machine."""

from __future__ import annotations

import asyncio
import os

from sampan.dns import codes, names
from sampan.dns.arguments import ONCE
from sampan.dns.corefile import CorefileError
from sampan.dns.exchange import ask
from sampan.dns.message import query as question
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, Settings, World

PATIENCE_S = 30.0
ECHO_S = 2.0
SEE = "see https://coredns.io/plugins/loop#troubleshooting"


class Loop(Plugin):
    """A query with a random name is sent to ourselves; a third sight of it means a loop."""

    static = True
    keeps_ttls = True
    nameless = True
    has_work = True

    def __init__(self, world: World, block: Settings) -> None:
        self.world = world
        self.block = block
        self.zone = block.keys[0]
        first, second = world.chance.getrandbits(62), world.chance.getrandbits(62)
        self.qname = f"{first}.{second}." + ("" if self.zone == "." else self.zone)
        self.seen = 0
        self.watching = True

    async def answer(self, query: Query, following: Handler) -> Reply:
        if query.type != codes.HINFO or not self.watching:
            return await following(query)
        if names.is_below(query.name, self.zone) and query.name == self.qname:
            self.seen += 1
            if self.seen > 2:
                self._end(query)
        return await following(query)

    def _end(self, query: Query) -> None:
        host = query.client.address
        host = f"[{host}]" if ":" in host else host
        where = f"Loop ({host}:{query.client.port} -> {self._address()})"
        text = f'detected for zone "{self.zone}", {SEE}. Query: "HINFO {self.qname}"'
        self.world.log.plain(f"[FATAL] plugin/loop: {where} {text}{self._culprit()}")
        os._exit(1)

    def _culprit(self) -> str:
        """The line of resolv.conf that leads back to us, where that is how it came."""
        try:
            with open("/etc/resolv.conf", encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError:
            return ""
        loopback = [i for i, line in enumerate(lines, 1) if line.startswith("nameserver 127.")]
        plugins = self.block.plugins.get("forward", [])
        reads = any(getattr(plugin, "from_resolv_conf", False) for plugin in plugins)
        return f" (/etc/resolv.conf:{loopback[0]})" if loopback and reads else ""

    def _address(self) -> str:
        return f"{self.block.hosts[0]}:{self.block.port}"

    async def run(self) -> None:
        host = self.block.hosts[0] or "127.0.0.1"
        asked = question(self.qname, codes.HINFO, self.world.chance.getrandbits(16))
        until = self.world.clock.monotonic() + PATIENCE_S
        while self.world.clock.monotonic() < until:
            try:
                await ask(asked, host, int(self.block.port), timeout_s=2)
                await self.world.clock.sleep(ECHO_S)
                break
            except (OSError, TimeoutError, ValueError):
                self.seen = 0
                await self.world.clock.sleep(1)
        self.watching = False
        await asyncio.Event().wait()


def setup(args: Args) -> Plugin:
    args.next()
    args.nothing()
    if args.next():
        raise CorefileError(ONCE)
    return Loop(args.world, args.block)
