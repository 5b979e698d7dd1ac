"""*reload* takes a changed Corefile without a restart; a wrong one is told of and left alone."""

from __future__ import annotations

import hashlib

from sampan.dns.arguments import BadDuration, duration
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args, World

MIN_INTERVAL_S = 2.0
MIN_JITTER_S = 1.0
START = "starting with listener file descriptors: "


class Reload(Plugin):
    answers = False
    has_work = True

    def __init__(self, world: World, interval_s: float) -> None:
        self.world = world
        self.interval_s = interval_s
        self.told = _digest(world.corefile())

    async def start(self) -> None:
        self.world.shared["reload"] = self

    async def run(self) -> None:
        if not self._is_last():
            return  # several blocks may reload; the last one does it for all
        self.world.log.info(f"plugin/reload: Running configuration SHA512 = {self.told}")
        while self._is_last():
            await self.world.clock.sleep(self.interval_s)
            try:
                digest = _digest(self.world.corefile())
            except CorefileError as bad:
                digest = f"unreadable: {bad}"
            if digest != self.told:
                self.told = digest
                await self._take()

    def _is_last(self) -> bool:
        return self.world.shared.get("reload") is self

    async def _take(self) -> None:
        assert self.world.reload is not None
        why = await self.world.reload()
        if why:
            self.world.counters.reload_failures.inc()
            text = f"Corefile changed but reload failed: {START}{why}"
            self.world.log.error(f"plugin/reload: {text}")


def _digest(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def setup(args: Args) -> Plugin:
    args.next()
    words = args.rest()
    if len(words) > 2:
        raise args.wrong_count()
    try:
        interval_s = duration(words[0]) if words else 30.0
        if interval_s < MIN_INTERVAL_S:
            raise CorefileError("interval value must be greater or equal to 2s")
        jitter_s = duration(words[1]) if len(words) > 1 else 15.0
    except BadDuration as bad:
        raise CorefileError(str(bad)) from bad
    if jitter_s and jitter_s < MIN_JITTER_S:
        raise CorefileError("jitter value must be 0 or greater or equal to 1s")
    jitter_s = min(jitter_s, interval_s / 2)
    wobble = args.world.chance.uniform(-0.5, 0.5) * jitter_s
    return Reload(args.world, interval_s + wobble)
