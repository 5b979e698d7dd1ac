"""Waiting pods: order, pauses, and what wakes them."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from sampan.scheduler.pod import PodView
from sampan.scheduler.queue import Queue
from sampan.testing.clock import JumpingClock, run_jumping
from tests.scheduler.clusters import pod


async def taken(queue: Queue, within_s: float = 0.5) -> str:
    """The name of the next pod; empty if none comes in time."""
    try:
        async with asyncio.timeout(within_s):
            return (await queue.take()).key.name
    except TimeoutError:
        return ""


def important(name: str, priority: int) -> PodView:
    return pod(name, priority=priority)


def test_the_most_important_pod_comes_first_and_then_the_oldest() -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        for view in (important("a", 0), important("b", 5), important("c", 0)):
            queue.put(view)
        assert [await taken(queue) for _ in range(4)] == ["b", "a", "c", ""]

    run_jumping(scene())


def test_a_failed_pod_is_parked_until_something_may_help() -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        view = pod("a")
        queue.put(view)
        assert await taken(queue) == "a"
        queue.failed(view.key, ("NodeResourcesFit",))
        assert await taken(queue, 20) == ""
        queue.wake(("InterPodAffinity",))
        assert await taken(queue, 20) == ""
        queue.wake(("NodeResourcesFit",))
        assert await taken(queue) == "a"

    run_jumping(scene())


def test_a_pod_that_could_not_be_bound_waits_longer_each_time() -> None:
    async def scene() -> None:
        clock = JumpingClock()
        queue = Queue(clock)
        queue.put(pod("a"))
        pauses = []
        for _ in range(6):
            began = clock.monotonic()
            assert await taken(queue, 60) == "a"
            pauses.append(round(clock.monotonic() - began))
            queue.failed(pod("a").key, ())
        assert pauses == [0, 1, 2, 4, 8, 10]

    run_jumping(scene())


def test_a_woken_pod_waits_only_while_others_are_to_be_tried() -> None:
    """Upstream's SchedulerPopFromBackoffQ."""

    async def scene() -> None:
        queue = Queue(JumpingClock())
        queue.put(pod("a"))
        assert await taken(queue) == "a"
        queue.failed(pod("a").key, ("NodeResourcesFit",))
        queue.put(pod("b"))
        queue.wake(("NodeResourcesFit",))
        assert [await taken(queue) for _ in range(3)] == ["b", "a", ""]

    run_jumping(scene())


def test_news_during_a_try_count_for_those_they_concern() -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        for of, plugin in (("b", "NodeResourcesFit"), ("a", "NodePorts")):
            queue.put(pod("a"))
            assert await taken(queue) == "a"
            queue.wake((plugin,), lambda name, view, of=of: view.key.name == of)
            queue.failed(pod("a").key, ("NodeResourcesFit",))
            assert await taken(queue, 20) == ""
            queue.drop(pod("a").key)
        queue.put(pod("a"))
        assert await taken(queue) == "a"
        queue.wake(("NodeResourcesFit",), lambda name, view: view.key.name == "a")
        queue.failed(pod("a").key, ("NodeResourcesFit",))
        assert await taken(queue) == "a"

    run_jumping(scene())


def test_a_change_of_the_pod_itself_wakes_it_and_a_dropped_one_is_forgotten() -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        queue.put(pod("a"))
        queue.put(pod("b"))
        assert await taken(queue) == "a"
        queue.failed(pod("a").key, ("NodeAffinity",))
        queue.drop(pod("b").key)
        assert await taken(queue) == ""
        queue.put(pod("a", {"new": "label"}))
        assert await taken(queue) == "a"

    run_jumping(scene())


def test_a_parked_pod_is_tried_again_after_five_minutes_in_any_case() -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        queue.put(pod("a"))
        await taken(queue)
        queue.failed(pod("a").key, ("NodeAffinity",))
        assert await taken(queue, 400) == "a"

    run_jumping(scene())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "fail", "wake", "drop"]),
        st.sampled_from("abc"),
        st.sets(st.sampled_from(["NodePorts", "NodeName", "VolumeZone"])),
    ),
    max_size=40,
)


@given(STEPS)
def test_every_pod_is_in_one_place_and_news_wake_those_they_concern(
    steps: list[tuple[str, str, set[str]]],
) -> None:
    async def scene() -> None:
        queue = Queue(JumpingClock())
        parked: dict[str, set[str]] = {}
        waits: set[str] = set()
        for action, name, plugins in steps:
            key = pod(name).key
            if action == "put" and name not in waits:
                queue.put(pod(name))
                waits.add(name)
            elif action == "drop":
                queue.drop(key)
                waits.discard(name)
                parked.pop(name, None)
            elif action == "wake":
                queue.wake(plugins)
                parked = {n: p for n, p in parked.items() if not p & plugins}
            elif action == "fail":
                taken_name = await taken(queue, 60)
                if taken_name:
                    queue.failed(pod(taken_name).key, plugins)
                    if plugins:
                        parked[taken_name] = plugins
            assert len(queue) == len(waits)
            assert queue.counts()["unschedulable"] == len(parked)

    run_jumping(scene())
