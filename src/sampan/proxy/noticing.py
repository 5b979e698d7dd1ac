"""Noticing that somebody else has changed what is ours: by the kernel's word, or by looking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

LOOK_S = 0.4
"""How often to look where the kernel tells nothing: so a fault lasts less than a second."""
SHARE = 20
"""Looking may cost one part in so many of a processor: where there is much to look at, the looks
are further apart.
"""


async def looked_at(changed: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again; return when it has changed."""
    pause = LOOK_S
    while True:
        await asyncio.sleep(pause)
        begun = time.monotonic()
        if await changed():
            return
        pause = max(LOOK_S, (time.monotonic() - begun) * SHARE)


async def first_of(*some: Coroutine[Any, Any, None]) -> None:
    """Return when the first one does, with its failure if it failed; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in some]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in tasks:
            one.cancel()


async def readable(descriptor: int) -> None:
    """Until there is something to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
