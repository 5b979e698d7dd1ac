"""Loads cases into the kernel of the network namespace in which it runs: a line `MODE CASE` on
standard input, an answer line on standard output. Its argument is the control group whose sockets
are translated. For the kernel tests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from sampan.cluster.parts.proxy import RULES_OF
from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.backend import Backend
from sampan.proxy.config import configuration
from tests.proxy.case_folders import ROOT, Case
from tests.proxy.life import forget_flows


async def main() -> None:
    kernel = real_kernel(configuration(), sys.argv[1])
    backends = {name: make() for name, make in kernel.backends.items()}
    loaded = ""
    for line in sys.stdin:
        mode, _, name = line.strip().partition(" ")
        try:
            if loaded and loaded != mode:
                await _leave(backends, loaded, RULES_OF[mode])
            plan = Case(ROOT / name).planned(mode)
            backends[mode].configure(plan.settings)
            await backends[mode].resync(plan.model)
            loaded = mode
            forget_flows()
            _say("ok")
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            _say(f"{type(error).__name__}: {error}")
    if loaded:
        await _leave(backends, loaded, "")


async def _leave(backends: Mapping[str, Backend[Any]], mode: str, rules: str) -> None:
    """Leave a mode as a proxy in another one does: its rules go, too, if the next has others."""
    await backends[mode].cleanup()
    if RULES_OF[mode] not in (mode, rules):
        await backends[RULES_OF[mode]].cleanup()


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
