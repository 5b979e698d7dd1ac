from __future__ import annotations

import asyncio

from sampan.api.errors import Conflict
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, Terminal
from sampan.testing.clock import JumpingClock, run_jumping


def test_an_item_waits_once_and_is_never_in_work_twice() -> None:
    async def main() -> None:
        queue: Queue[str] = Queue(JumpingClock())
        queue.add("a")
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        assert len(queue) == 0
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert len(queue) == 0

    run_jumping(main())


def test_of_two_delays_the_earlier_counts() -> None:
    async def main() -> None:
        clock = JumpingClock()
        queue: Queue[str] = Queue(clock)
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 7)
        await queue.get()
        assert clock.monotonic() == 3
        queue.done("a")
        await asyncio.sleep(20)
        assert len(queue) == 0

    run_jumping(main())


def test_retries_double_until_it_goes_well() -> None:
    async def main() -> None:
        clock = JumpingClock()
        queue: Queue[str] = Queue(clock)
        times = []
        for _ in range(4):
            queue.retry("a")
            await queue.get()
            times.append(round(clock.monotonic(), 3))
            queue.done("a")
        assert times == [0.005, 0.015, 0.035, 0.075]
        queue.forget("a")
        assert queue.failures("a") == 0

    run_jumping(main())


def test_a_cancelled_getter_passes_its_turn_on() -> None:
    async def main() -> None:
        queue: Queue[str] = Queue(JumpingClock())
        first = asyncio.create_task(queue.get())
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "a"

    run_jumping(main())


class Scripted:
    """A reconciler whose answers are written down beforehand."""

    name = "scripted"

    def __init__(self, clock: JumpingClock, answers: list[Exception | float | None]) -> None:
        self.clock = clock
        self.answers = answers
        self.asked: list[float] = []

    async def reconcile(self, key: str) -> float | None:
        self.asked.append(round(self.clock.monotonic(), 3))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def outcome(answers: list[Exception | float | None]) -> list[float]:
    """When the reconciler was asked, for these answers."""

    async def main() -> list[float]:
        clock = JumpingClock()
        queue: Queue[str] = Queue(clock)
        scripted = Scripted(clock, answers)
        controller = Controller(scripted, queue)
        task = asyncio.create_task(controller.run(lambda: None))
        queue.add("a")
        await asyncio.sleep(5000)
        task.cancel()
        await asyncio.wait((task,))
        return scripted.asked

    return run_jumping(main())


def test_success_is_not_asked_again() -> None:
    assert outcome([None]) == [0]


def test_seconds_mean_ask_again_then() -> None:
    assert outcome([30.0, None]) == [0, 30]


def test_raising_means_back_off_and_ask_again() -> None:
    assert outcome([RuntimeError("x"), Conflict("x"), None]) == [0, 0.005, 0.015]


def test_terminal_means_never_again() -> None:
    assert outcome([Terminal("spec is impossible")]) == [0]


def test_a_pause_can_have_a_limit() -> None:
    async def main() -> None:
        clock = JumpingClock()
        queue: Queue[str] = Queue(clock)
        for _ in range(20):
            queue.retry("a", 5.0)
            begun = clock.monotonic()
            assert await queue.get() == "a"
            assert clock.monotonic() - begun <= 5.1
            queue.done("a")
        assert queue.failures("a") == 20

    run_jumping(main())


def test_how_long_an_item_waited_is_told() -> None:
    async def main() -> None:
        waited: list[float] = []
        clock = JumpingClock()
        queue: Queue[str] = Queue(clock)
        queue.on_wait = waited.append
        queue.add("a")
        await clock.sleep(3)
        queue.add("a")  # already there: it waits since the first time
        assert await queue.get() == "a"
        assert waited == [3]

    run_jumping(main())
