"""A small world for controllers: a fake API server, informers, a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.controllers.assembly import Controllers
from sampan.controllers.deps import Deps, Settings
from sampan.loop.informers import Informers
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping


@dataclass
class World:
    """The API behind the controllers, and a way to let them work."""

    api: FakeApi
    client: Client

    async def settle(self, seconds: float = 1.0) -> None:
        """Let time pass until nobody has anything to do."""
        await asyncio.sleep(seconds)


@asynccontextmanager
async def running(names: tuple[str, ...], settings: Settings | None = None) -> AsyncIterator[World]:
    """The named controllers at work."""
    api = FakeApi()
    client, clock = Client(api), JumpingClock()
    deps = Deps(client, Informers(client, clock), clock, settings or Settings())
    controllers = Controllers(deps, names)
    started = asyncio.Event()
    task = asyncio.create_task(controllers.run(started.set))
    await started.wait()
    try:
        yield World(api, client)
    finally:
        task.cancel()
        await asyncio.wait((task,))


Scene = Callable[[World], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play() -> Play:
    """`play(scene, "deployment", ...)` runs a scene with these controllers."""

    def run(scene: Scene, *names: str, settings: Settings | None = None) -> None:
        async def main() -> None:
            async with running(names, settings) as world:
                await scene(world)

        run_jumping(main())

    return run


@pytest.fixture
def ready_pod() -> Callable[..., Json]:
    """A pod that runs: `ready_pod("a", ip="10.0.0.1", labels={"app": "web"}, node="n1")`."""

    def make(
        name: str, *, ip: str, labels: Json | None = None, node: str = "n1", ready: bool = True
    ) -> Json:
        return {
            "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}]},
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            },
        }

    return make
