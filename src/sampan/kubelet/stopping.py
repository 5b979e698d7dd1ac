"""Ending containers: preStop, a signal, patience, and then force."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from sampan.api.meta import Json
from sampan.kubelet import observed
from sampan.kubelet.hooks import hook, run_hook, stop_signal
from sampan.kubelet.kit import NORMAL, WARNING, Kit
from sampan.kubelet.probes.asking import Target
from sampan.linux.base.processes import ContainerState

AFTER_HOOK_S = 2.0
"""However long preStop took, the container still has this long after its signal."""
FORCE_S = 10.0
"""The kernel may take its time with a process in an uninterruptible sleep."""
LOOK_S = 1.0
"""How soon a grace period that was cut short meanwhile is noticed."""


async def stop(
    kit: Kit,
    pod: Json,
    wanted: Json,
    state: ContainerState,
    deadline: Callable[[], float],
    message: str = "",
) -> None:
    """Until it has ended. `deadline` (monotonic) is asked again and again: it may move."""
    name = wanted["name"]
    kit.tell(pod, NORMAL, "Killing", message or f"Stopping container {name}", name)
    kit.prober.remove(state.spec.id, only_killing=True)
    clock = kit.clock
    handler = hook(wanted, "preStop")
    if handler is not None and deadline() > clock.monotonic():
        ips = kit.facts(pod, kit.runtime.ips.get(state.spec.sandbox, ())).pod_ips
        target = Target(state.spec.id, wanted, lambda: ips[0] if ips else "")
        left = deadline() - clock.monotonic()
        answer = await run_hook(handler, target, kit.runtime.runtime, clock, left)
        if not answer.good:
            text = f"PreStopHook failed: {answer.text}"
            kit.tell(pod, WARNING, "FailedPreStopHook", text, name)
    number = stop_signal(wanted, state.spec.labels.get(observed.STOP_SIGNAL, ""))
    await kit.runtime.signal(state.spec.id, number)
    least = clock.monotonic() + (AFTER_HOOK_S if handler is not None else 0.0)
    while not await _ended(kit, state, min(LOOK_S, max(deadline(), least) - clock.monotonic())):
        if clock.monotonic() >= max(deadline(), least):
            await kit.runtime.signal(state.spec.id, signal.SIGKILL, everyone=True)
            await _ended(kit, state, FORCE_S)
            break
    kit.prober.remove(state.spec.id)


async def _ended(kit: Kit, state: ContainerState, patience_s: float) -> bool:
    """Whether it ended within that time."""
    try:
        async with asyncio.timeout(max(0.0, patience_s)):
            await kit.runtime.wait(state.spec.id)
    except TimeoutError:
        return False
    return True
