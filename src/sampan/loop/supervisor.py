"""Starts components in order, each when the one before says it is ready, and stops them in
reverse. A component that ends or fails ends them all: whoever runs the process starts it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sampan.loop.component import Component
from sampan.std import log

_LOG = log.get("supervisor")


class ComponentEnded(Exception):
    """A component came back although nobody stopped it."""


class Supervisor:
    """Itself a component, so that supervisors nest."""

    def __init__(self, components: Sequence[Component], name: str = "supervisor") -> None:
        self._components = components
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Until cancelled; raises what a component raised."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        tasks: list[asyncio.Task[None]] = []
        try:
            for component in self._components:
                ready: asyncio.Future[None] = loop.create_future()
                tasks.append(
                    loop.create_task(_guard(component, ready, failed), name=component.name)
                )
                await asyncio.wait((ready, failed), return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    break
            else:
                started()
            await failed
        finally:
            if not failed.cancel() and not failed.cancelled():
                failed.exception()  # seen, also where a cancellation overtook it
            await _stop(tasks)


async def _guard(
    component: Component, ready: asyncio.Future[None], failed: asyncio.Future[None]
) -> None:
    """Run one component; whatever ends it goes into `failed`, never out of the task."""

    def started() -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        await component.run(started)
        raise ComponentEnded(f"{component.name} ended by itself")
    except Exception as error:  # noqa: BLE001 - handed on to whoever supervises
        _LOG.error("a component ended", exc=error, component=component.name)
        if not failed.done():
            failed.set_exception(error)


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in reversed(tasks):
        task.cancel()
        await asyncio.wait((task,))
