from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sampan.loop.supervisor import ComponentEnded, Supervisor


class Part:
    def __init__(self, name: str, diary: list[str], fate: str = "runs") -> None:
        self.name = name
        self.diary = diary
        self.fate = fate

    async def run(self, started: Callable[[], None]) -> None:
        self.diary.append(f"{self.name} begins")
        await asyncio.sleep(0)
        if self.fate == "fails at start":
            raise ValueError("no port")
        self.diary.append(f"{self.name} is ready")
        started()
        try:
            if self.fate == "fails":
                await asyncio.sleep(0.001)
                raise ValueError("broken")
            if self.fate == "ends":
                return
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.diary.append(f"{self.name} ends")


async def test_components_start_in_order_and_stop_in_reverse() -> None:
    diary: list[str] = []
    supervisor = Supervisor([Part("a", diary), Part("b", diary)])
    ready = asyncio.Event()
    task = asyncio.create_task(supervisor.run(ready.set))
    await ready.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert diary == [
        "a begins", "a is ready", "b begins", "b is ready", "b ends", "a ends",
    ]  # fmt: skip


async def test_one_failure_ends_all() -> None:
    diary: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        await Supervisor([Part("a", diary), Part("b", diary, "fails"), Part("c", diary)]).run()
    assert diary[-3:] == ["b ends", "c ends", "a ends"]


async def test_a_failure_at_start_keeps_the_next_from_starting() -> None:
    diary: list[str] = []
    parts = [Part("a", diary), Part("b", diary, "fails at start"), Part("c", diary)]
    with pytest.raises(ValueError, match="no port"):
        await Supervisor(parts).run()
    assert "c begins" not in diary


async def test_ending_early_is_a_failure() -> None:
    with pytest.raises(ComponentEnded, match="a ended by itself"):
        await Supervisor([Part("a", [], "ends")]).run()
