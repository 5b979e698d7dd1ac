"""*pprof* shows what the process is doing: at `/debug/pprof`, as plain text.

Python has no pprof profiles; the pages of the same names give what they are asked for: where the
time goes, what runs, what memory holds. `/debug/top` names those who ask most.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs

from sampan.dns.arguments import ONCE, check_host_port
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args, Closer, World
from sampan.dns.top import SHOWN, Top, table
from sampan.std.http import Request, Response

PAGES = ("profile", "goroutine", "heap", "cmdline")
MAX_PROFILE_S = 60


class Pprof(Plugin):
    answers = False

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.address = address
        self._close: Closer | None = None

    async def start(self) -> None:
        try:
            self._close = await self.world.pages.serve(self.address, self.page)
        except OSError as bad:
            self.world.log.error(f"plugin/pprof: Failed to start pprof handler: {bad}")
            raise

    async def stop(self) -> None:
        if self._close is not None:
            await self._close()

    async def page(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path == "/debug/pprof":
            return _text("\n".join(f"/debug/pprof/{name}" for name in PAGES) + "\n")
        if path == "/debug/top":
            return _text(await self._top(_seconds(request)))
        name = path.removeprefix("/debug/pprof/")
        if name == "profile":
            return _text(await _profile(_seconds(request)))
        makers: dict[str, Callable[[], str]] = {
            "goroutine": _tasks,
            "heap": _heap,
            "cmdline": lambda: "\0".join(sys.argv),
        }
        return _text(makers[name]()) if name in makers else _text("", 404)

    async def _top(self, seconds: float) -> str:
        """Who asked most and for what, in the seconds from now on, of all processes."""
        top, others = Top(), self.world.others
        self.world.tap(top.tap)
        if others is not None:
            others.watch()
        try:
            await self.world.clock.sleep(seconds)
        finally:
            self.world.tap(None)
            seen = await others.seen() if others is not None else []
        for text in seen:
            top.add(text)
        return top.text(seconds)


def _seconds(request: Request) -> float:
    text = parse_qs(request.query).get("seconds", ["5"])[0]
    try:
        return min(max(float(text), 0.0), MAX_PROFILE_S)
    except ValueError:
        return 5.0


def _text(body: str, status: int = 200) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, body.encode())


async def _profile(seconds: float) -> str:
    import cProfile
    import io
    import pstats

    profile = cProfile.Profile()
    profile.enable()
    try:
        await asyncio.sleep(seconds)
    finally:
        profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).sort_stats("cumulative").print_stats(SHOWN)
    return out.getvalue()


def _tasks() -> str:
    """Every task with where it waits."""
    parts = []
    for task in asyncio.all_tasks():
        frames = task.get_stack()
        lines = [line for frame in frames for line in traceback.format_stack(frame, 1)]
        parts.append(f"{task.get_name()}: {task.get_coro()}\n{''.join(lines)}")
    return f"{len(parts)} tasks\n\n" + "\n".join(parts)


def _heap() -> str:
    """The number of objects by type."""
    return table(Counter(type(obj).__qualname__ for obj in gc.get_objects()))


def setup(args: Args) -> Plugin:
    address = "localhost:6053"
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            try:
                address = check_host_port(words[0])
            except CorefileError as bad:
                raise args.error(str(bad)) from bad
        for name in args.properties():
            if name != "block":
                raise args.unknown()
            rate = args.rest()  # for blocked goroutines, of which there are none
            if len(rate) > 1:
                raise args.wrong_count()
            if rate and not rate[0].lstrip("+-").isdigit():
                raise args.error(f"property 'block' invalid integer value '{rate[0]}'")
    return Pprof(args.world, address)
