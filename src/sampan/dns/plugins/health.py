"""*health* serves `/health`, and lingers before the end so that nobody asks a closed door."""

from __future__ import annotations

import asyncio

from sampan.dns.arguments import BadDuration, check_host_port, duration, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args, Closer, World
from sampan.std.http import Request, Response

PROBE_S = 1.0


class Health(Plugin):
    answers = False
    has_work = True

    def __init__(self, world: World, address: str, lameduck_s: float) -> None:
        self.world = world
        self.address = address
        self.lameduck_s = lameduck_s
        self._close: Closer | None = None

    async def start(self) -> None:
        self._close = await self.world.pages.serve(self.address, self.page)

    async def page(self, request: Request) -> Response:
        if request.path != "/health":
            return Response(404, {"content-type": "text/plain; charset=utf-8"}, b"")
        return Response(200, {"content-type": "text/plain; charset=utf-8"}, b"OK")

    async def run(self) -> None:
        """Ask ourselves every second: a long answer tells that this process is overloaded."""
        counters = self.world.counters
        host, _, port = self.address.rpartition(":")
        host = host.strip("[]") or "localhost"
        while True:
            await self.world.clock.sleep(PROBE_S)
            began = self.world.clock.monotonic()
            try:
                async with asyncio.timeout(3):
                    await _probe(host, int(port))
            except (OSError, TimeoutError):
                counters.health_failures.inc()
            counters.health_durations.observe(self.world.clock.monotonic() - began)

    async def stop(self) -> None:
        if self._close is not None:
            await self._close()

    async def shut_down(self) -> None:
        if self.lameduck_s > 0:
            period = shown(self.lameduck_s)
            self.world.log.info(f"plugin/health: Going into lameduck mode for {period}")
            await self.world.clock.sleep(self.lameduck_s)


async def _probe(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        await reader.read(64)
    finally:
        writer.close()


def setup(args: Args) -> Plugin:
    address, lameduck_s = ":8080", 0.0
    for words in args.places():
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            address = check_host_port(words[0])
            port = address.rpartition(":")[2]
            if not port.isdigit():
                raise CorefileError(f'parse "http://{address}": invalid port ":{port}" after host')
        for field in args.properties():
            if field != "lameduck":
                raise args.unknown()
            word = args.one()
            try:
                lameduck_s = duration(word)
            except BadDuration as bad:
                raise CorefileError(
                    f"unable to parse lameduck duration value: '{word}' : {bad}"
                ) from bad
    return Health(args.world, address, lameduck_s)
