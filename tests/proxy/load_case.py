"""Loads cases into the kernel of the network namespace in which it runs: a line `MODE CASE` on
standard input, an answer line on standard output. Its argument is the control group whose sockets
are translated. For the kernel tests.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.config import configuration
from tests.proxy.case_folders import ROOT, Case


async def main() -> None:
    kernel = real_kernel(configuration(), sys.argv[1])
    backends = {name: make() for name, make in kernel.backends.items()}
    loaded = ""
    for line in sys.stdin:
        mode, _, name = line.strip().partition(" ")
        try:
            if loaded and loaded != mode:
                await backends[loaded].cleanup()
            plan = Case(ROOT / name).planned(mode)
            backends[mode].configure(plan.settings)
            await backends[mode].resync(plan.model)
            loaded = mode
            _forget_flows()
            _say("ok")
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            _say(f"{type(error).__name__}: {error}")


def _forget_flows() -> None:
    """A story begins without what connection tracking remembers of the last one."""
    subprocess.run(["conntrack", "-F"], check=True, capture_output=True)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
