"""All chosen controllers as one component: shared informers first, then everyone at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sampan.controllers.deps import Deps
from sampan.controllers.table import CONTROLLERS, OFF_BY_DEFAULT
from sampan.loop.component import Component
from sampan.loop.reconciler import Controller
from sampan.std import log
from sampan.std.metrics import Registry

_LOG = log.get("controllers")


class UnknownController(ValueError):
    """A name that is not in the table; the message lists those that are."""


class Controllers:
    """A component; started when every controller's caches are whole."""

    name = "controllers"

    def __init__(self, deps: Deps, names: Sequence[str] = ("*",)) -> None:
        self._deps = deps
        self.controllers: list[Component] = [CONTROLLERS[name](deps) for name in chosen(names)]

    def measure(self, registry: Registry) -> None:
        """Every queue on a metrics page."""
        for controller in self.controllers:
            if isinstance(controller, Controller):
                controller.measure(registry)

    async def run(self, started: Callable[[], None]) -> None:
        waiting = len(self.controllers)

        def one_started() -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                _LOG.info("working", controllers=len(self.controllers))
                started()

        async with asyncio.TaskGroup() as group:
            group.create_task(self._deps.informers.run(), name="informers")
            for recorder in self._deps.recorders:
                group.create_task(recorder.run(), name="events")
            for controller in self.controllers:
                group.create_task(controller.run(one_started), name=controller.name)


def chosen(names: Sequence[str]) -> list[str]:
    """Upstream's rule: `*` is all that are on by default, `-name` takes one out, `name` puts one
    in. Raises UnknownController.
    """
    bare = [name.lstrip("-") for name in names if name != "*"]
    unknown = [name for name in bare if name not in CONTROLLERS]
    if unknown:
        known = ", ".join(CONTROLLERS)
        raise UnknownController(f"no controller named {unknown[0]!r}; there are: {known}")
    return [
        name
        for name in CONTROLLERS
        if name in names
        or ("*" in names and f"-{name}" not in names and name not in OFF_BY_DEFAULT)
    ]
