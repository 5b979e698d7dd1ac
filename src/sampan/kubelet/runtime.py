"""The runtime by pods: what runs of each, kept in memory and corrected by the runtime's own news.

start, run_sandbox  ->  known at once
exits()             ->  looked up, noted, and whoever cares for the pod is called
a restart           ->  everything comes back from the runtime's records
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from sampan.kubelet.observed import POD_UID, Observed, observe
from sampan.linux.base.processes import (
    Container,
    ContainerState,
    RuntimeFailure,
    Sandbox,
    SandboxState,
    Snapshot,
    StartFailure,
)
from sampan.linux.base.processes import Runtime as Containers


class PodRuntime:
    """One node's. `changed` is called with the uid of a pod of which something ended."""

    def __init__(self, runtime: Containers, changed: Callable[[str], None]) -> None:
        self.runtime = runtime
        self.changed = changed
        self.sandboxes: dict[str, SandboxState] = {}
        self.containers: dict[str, ContainerState] = {}
        self.ips: dict[str, tuple[str, ...]] = {}
        """By sandbox."""
        self._ended: dict[str, asyncio.Event] = {}

    async def load(self) -> None:
        """Take over what is there."""
        snapshot: Snapshot = await self.runtime.snapshot()
        self.sandboxes = {state.spec.id: state for state in snapshot.sandboxes}
        self.containers = {state.spec.id: state for state in snapshot.containers}

    async def sweep(self, before: float) -> None:
        """Notice sandboxes that were made (before that time) by a call that was cut off."""
        for state in (await self.runtime.snapshot()).sandboxes:
            if state.created < before:
                self.sandboxes.setdefault(state.spec.id, state)

    async def recover(self, uid: str) -> None:
        """Notice what was made for a pod by calls that were cut off."""
        found = await self.runtime.snapshot()
        for box in found.sandboxes:
            if box.spec.labels[POD_UID] == uid:
                self.sandboxes.setdefault(box.spec.id, box)
        for state in found.containers:
            if state.spec.labels[POD_UID] == uid:
                self.containers.setdefault(state.spec.id, state)

    async def follow(self) -> None:
        """Listen for ends, for ever."""
        async for container in self.runtime.exits():
            known = self.containers.get(container)
            if known is None or known.exit is not None:
                continue
            found = await self.runtime.inspect(container)
            if found is not None:
                self._note(found)

    def pods(self) -> set[str]:
        """Uids of all pods that something is left of."""
        boxes = {state.spec.labels[POD_UID] for state in self.sandboxes.values()}
        return boxes | {spec.labels[POD_UID] for spec in self._specs()}

    def observe(self, uid: str) -> Observed:
        boxes = [s for s in self.sandboxes.values() if s.spec.labels[POD_UID] == uid]
        runs = [c for c in self.containers.values() if c.spec.labels[POD_UID] == uid]
        newest = max(boxes, key=lambda state: state.created, default=None)
        return observe(boxes, runs, self.ips.get(newest.spec.id, ()) if newest else ())

    async def run_sandbox(self, spec: Sandbox) -> SandboxState:
        state = await self.runtime.run_sandbox(spec)
        self.sandboxes[spec.id] = state
        return state

    async def start(self, spec: Container) -> ContainerState:
        """Raises StartFailure (the run is known then, as ended), RuntimeFailure."""
        try:
            state = await self.runtime.start(spec)
        except StartFailure:
            found = await self.runtime.inspect(spec.id)
            if found is not None:
                self.containers[spec.id] = found
            raise
        self.containers[spec.id] = state
        # It may have ended before we knew it; then its end has already been told.
        found = await self.runtime.inspect(spec.id)
        if found is not None and found.exit is not None:
            self._note(found)
        return state

    async def signal(self, container: str, number: int, *, everyone: bool = False) -> None:
        await self.runtime.signal(container, number, everyone=everyone)

    async def wait(self, container: str) -> None:
        """Until it has ended."""
        state = self.containers.get(container)
        if state is not None and state.exit is None:
            await self._ended.setdefault(container, asyncio.Event()).wait()

    async def remove(self, container: str) -> None:
        await self.runtime.remove(container)
        self.containers.pop(container, None)
        self._ended.pop(container, None)

    async def remove_sandbox(self, sandbox: str) -> None:
        await self.runtime.remove_sandbox(sandbox)
        self.sandboxes.pop(sandbox, None)
        self.ips.pop(sandbox, None)
        for name in [c.id for c in self._specs() if c.sandbox == sandbox]:
            found = await self.runtime.inspect(name)
            if found is not None:
                self._note(found)

    async def forget(self, uid: str) -> None:
        """Remove the records of all ended containers of a pod."""
        for spec in [spec for spec in self._specs() if spec.labels[POD_UID] == uid]:
            with contextlib.suppress(RuntimeFailure):
                await self.remove(spec.id)

    def _specs(self) -> list[Container]:
        return [state.spec for state in self.containers.values()]

    def _note(self, state: ContainerState) -> None:
        self.containers[state.spec.id] = state
        if state.exit is not None:
            ended = self._ended.pop(state.spec.id, None)
            if ended is not None:
                ended.set()
            self.changed(state.spec.labels[POD_UID])
