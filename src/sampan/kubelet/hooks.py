"""postStart and preStop: one handler run inside or towards the container."""

from __future__ import annotations

import signal

from sampan.api.meta import Json
from sampan.kubelet.probes.asking import Answer, Target, ask
from sampan.linux.base.processes import Runtime
from sampan.std.clock import Clock


def hook(container: Json, when: str) -> Json | None:
    """`when` is postStart or preStop."""
    found: Json | None = (container.get("lifecycle") or {}).get(when)
    return found


async def run_hook(
    handler: Json, target: Target, runtime: Runtime, clock: Clock, timeout_s: float
) -> Answer:
    if handler.get("sleep") is not None:
        await clock.sleep(min(float(handler["sleep"].get("seconds") or 0), timeout_s))
        return Answer(True)
    return await ask(handler, target, runtime, timeout_s)


def stop_signal(container: Json, of_image: str = "") -> int:
    """The signal that asks it to end: what the pod says, else its image (`SIGQUIT`, `QUIT`, `3`,
    `SIGRTMIN+3`), else SIGTERM.
    """
    wanted = str((container.get("lifecycle") or {}).get("stopSignal") or of_image).upper()
    if wanted.isdigit():
        return int(wanted) if 0 < int(wanted) < signal.NSIG else signal.SIGTERM
    base, _, offset = wanted.partition("+")
    name = base if base.startswith("SIG") else f"SIG{base}"
    number = getattr(signal, name, signal.SIGTERM)
    return int(number) + (int(offset) if offset.isdigit() else 0)
