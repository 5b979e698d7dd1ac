"""*ready* serves `/ready`: 200 when every plugin that has an opinion is ready to answer."""

from __future__ import annotations

from sampan.dns.arguments import ONCE, check_host_port
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args, Closer, Settings, World
from sampan.std.http import Request, Response

TEXT = {"content-type": "text/plain; charset=utf-8"}


class Ready(Plugin):
    answers = False

    def __init__(self, world: World, block: Settings, address: str) -> None:
        self.world = world
        self.block = block
        self.address = address
        self.continuously = False
        self._close: Closer | None = None
        self._pending: list[Plugin] | None = None

    async def start(self) -> None:
        self.world.shared.setdefault("ready", []).append(self)
        try:
            self._close = await self.world.pages.serve(self.address, self.page)
        except OSError as bad:
            # The readiness page is for others; the names that we can answer come first.
            self.world.log.debug(f"plugin/ready: {bad}")

    async def page(self, request: Request) -> Response:
        if request.path != "/ready":
            return Response(404, TEXT, b"")
        waiting = sorted({name for other in self._peers() for name in other.waiting()})
        if not waiting:
            return Response(200, TEXT, b"OK")
        text = ",".join(waiting)
        self.world.log.info(f'plugin/ready: Plugins not ready: "{text}"')
        return Response(503, TEXT, text.encode())

    def _peers(self) -> list[Ready]:
        """All blocks with *ready* speak for the whole process."""
        peers: list[Ready] = self.world.shared["ready"]
        return peers

    def waiting(self) -> list[str]:
        """The plugins that are not ready; one that was is not asked again, unless wished."""
        if self._pending is None or self.continuously:
            self._pending = self.block.all_plugins()
        self._pending = [plugin for plugin in self._pending if plugin.ready() is False]
        return [plugin.name for plugin in self._pending]

    async def stop(self) -> None:
        await self._withdraw()

    async def shut_down(self) -> None:
        """Closed before the lame duck begins: a probe must fail while queries still pass."""
        await self._withdraw()

    async def _withdraw(self) -> None:
        if self in self.world.shared["ready"]:
            self.world.shared["ready"].remove(self)
        if self._close is not None:
            await self._close()
            self._close = None


def setup(args: Args) -> Plugin:
    ready = Ready(args.world, args.block, ":8181")
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            ready.address = check_host_port(words[0])
        for field in args.properties():
            if field != "monitor":
                raise args.unknown()
            word = args.one()
            if word not in ("until-ready", "continuously"):
                raise args.error(f"monitor type '{word}' not supported")
            ready.continuously = word == "continuously"
    return ready
