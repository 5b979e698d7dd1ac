from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sampan.api import kinds
from sampan.api.errors import ServiceUnavailable
from sampan.api.meta import Json, Key
from sampan.client.client import Client
from sampan.loop.informer import Informer
from sampan.loop.informers import Informers
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock, run_jumping


def pod(name: str, node: str = "", namespace: str = "default") -> Json:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"nodeName": node}}


@asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[list[tuple[str, str]]]:
    """The informer at work, and what its handlers heard: (old, new) names or a dash."""
    heard: list[tuple[str, str]] = []

    def name(obj: Json | None) -> str:
        return obj["metadata"]["name"] if obj else "-"

    informer.on_change(lambda old, new: heard.append((name(old), name(new))))
    task = asyncio.create_task(informer.run())
    try:
        await informer.synced.wait()
        yield heard
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_new_object_reaches_cache_index_and_handlers() -> None:
    async def main() -> None:
        api = FakeApi()
        api.put(kinds.PODS, pod("a", "n1"))
        informer = Informer(
            Client(api),
            kinds.PODS,
            indexers={"node": lambda p: [p["spec"]["nodeName"]]},
            clock=JumpingClock(),
        )
        async with running(informer) as heard:
            api.put(kinds.PODS, pod("b", "n1"))
            await settle()
            assert [p["metadata"]["name"] for p in informer.by("node", "n1")] == ["a", "b"]
            api.put(kinds.PODS, pod("b", "n2"))
            api.drop(kinds.PODS, "a", "default")
            await settle()
            assert informer.by("node", "n1") == []
            assert informer.get(Key("default", "a")) is None
            assert heard == [("-", "a"), ("-", "b"), ("b", "b"), ("a", "-")]
            cached = informer.get(Key("default", "b"))
            assert cached is not None
            assert (cached["kind"], cached["apiVersion"]) == ("Pod", "v1")

    run_jumping(main())


def test_after_lost_history_it_lists_again_and_tells_only_differences() -> None:
    async def main() -> None:
        api = FakeApi()
        for name in ("a", "b", "c"):
            api.put(kinds.PODS, pod(name))
        informer = Informer(Client(api), kinds.PODS, clock=JumpingClock())
        async with running(informer) as heard:
            heard.clear()
            api.oldest = 5
            api.fail = lambda request: ServiceUnavailable("away")
            api.cut()
            await asyncio.sleep(0.01)
            assert len(informer) == 3
            api.put(kinds.PODS, pod("b", "n1"))
            api.drop(kinds.PODS, "c", "default")
            api.fail = lambda request: None
            await asyncio.sleep(60)
            assert sorted(heard) == [("b", "b"), ("c", "-")]

    run_jumping(main())


def test_an_unreachable_server_is_asked_less_and_less_often() -> None:
    async def main() -> None:
        api = FakeApi()
        api.fail = lambda request: ServiceUnavailable("away")
        informer = Informer(Client(api), kinds.PODS, clock=JumpingClock())
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(300)
        assert 30 < len(api.requests) < 80
        api.fail = lambda request: None
        await informer.synced.wait()
        task.cancel()
        await asyncio.wait((task,))

    run_jumping(main())


def test_a_handler_that_fails_does_not_stop_the_others() -> None:
    async def main() -> None:
        api = FakeApi()
        informer = Informer(Client(api), kinds.PODS, clock=JumpingClock())

        def broken(old: Json | None, new: Json | None) -> None:
            raise RuntimeError("broken")

        informer.on_change(broken)
        async with running(informer) as heard:
            api.put(kinds.PODS, pod("a"))
            await settle()
            assert heard == [("-", "a")]

    run_jumping(main())


def test_informers_share_one_watch_and_grow_while_running() -> None:
    async def main() -> None:
        api = FakeApi()
        api.put(kinds.PODS, pod("a", "n1"))
        api.put(kinds.NODES, {"metadata": {"name": "n1"}})
        informers = Informers(Client(api), JumpingClock())
        pods = informers.of(kinds.PODS)
        task = asyncio.create_task(informers.run())
        await informers.synced()
        same = informers.of(kinds.PODS, indexers={"node": lambda p: [p["spec"]["nodeName"]]})
        assert same is pods
        assert len(same.by("node", "n1")) == 1
        nodes = informers.of(kinds.NODES)
        await informers.synced()
        assert nodes.get(Key("", "n1")) is not None
        assert sum("watch=true" in r.query and "/pods" in r.path for r in api.requests) == 1
        task.cancel()
        await asyncio.wait((task,))

    run_jumping(main())


def test_lost_history_after_an_outage_is_listed_anew_at_once() -> None:
    async def main() -> None:
        api, clock = FakeApi(), JumpingClock()
        informer = Informer(Client(api), kinds.PODS, clock=clock)
        async with running(informer):
            api.fail = lambda request: ServiceUnavailable("away")
            api.cut()
            await clock.sleep(600)
            asked = len(api.requests)
            assert asked > 600 / 8  # it goes on asking every few seconds
            api.put(kinds.PODS, pod("new"))
            api.oldest = api.revision
            api.fail = lambda request: None
            await clock.sleep(8)
            assert informer.get(Key("default", "new")) is not None

    run_jumping(main())
