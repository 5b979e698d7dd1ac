"""postStart and preStop: one handler run inside or towards the container."""

from __future__ import annotations

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


def stop_signal(container: Json) -> str:
    """The signal that asks it to end."""
    wanted = (container.get("lifecycle") or {}).get("stopSignal")
    return str(wanted or "SIGTERM")
