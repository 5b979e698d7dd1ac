"""Loads many Services by one variant of iptables in a network namespace of its own, as a program of
its own: what it finds is one line of JSON. For test_kernel_variants.py.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from sampan.api.meta import Key
from sampan.linux.real.iptables import RealIptables
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import Settings

MANY = 1001
"""Divided, and more chains than are written at once."""


def plain(number: int, last: int = 11) -> Rules:
    ip = f"10.96.{number // 200}.{number % 200}"
    target = (Target(f"10.244.1.{last}", 8080, True),)
    port = Port("", "tcp", 4, ip, 80, 0, (), (), (), False, False, 0, target, (), True, frozenset())
    return Rules(Key("default", f"svc-{number}"), (port,), None, "")


class Counted(RealIptables):
    """Tells how often it wrote."""

    writes = 0

    def restore(self, script: str) -> None:
        self.writes += 1
        super().restore(script)


def flush() -> None:
    subprocess.run(["iptables", "-t", "nat", "-F"], check=True)


async def main() -> dict[str, object]:
    tool = Counted(4, sys.argv[1])
    backend = IptablesBackend([tool], Settings("n1"))
    model = {one.key: one for one in map(plain, range(MANY))}
    await backend.resync(model)
    found: dict[str, object] = {"version": tool.version(), "loads": tool.writes}
    saved = tool.save()
    found["divided"] = "KUBE-PART-" in saved
    found["services"] = saved.count("cluster IP")
    restarted = IptablesBackend([tool], Settings("n1"))
    before = tool.writes
    await restarted.resync(model)
    found["restart writes"] = tool.writes - before
    old, new = plain(7), plain(7, 12)
    await restarted.load([restarted.render(new.key, old, new)])
    found["change writes"] = tool.writes - before
    found["changed"] = "--to-destination 10.244.1.12:8080" in tool.save()
    found["lost before"] = restarted._lost()
    flush()
    found["lost"] = restarted._lost()
    await restarted.resync({**model, new.key: new})
    found["repaired"] = tool.save().count("cluster IP") == found["services"]
    await restarted.cleanup()
    found["left"] = [line for line in tool.save().splitlines() if "KUBE" in line]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main())) + "\n")
