"""A reload takes the old instance's place whole, and ends what the old one did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sampan.dns.server.process import Options, Process
from sampan.dns.setup import World
from sampan.linux.real.datagrams import PlainDatagrams
from tests.dns.desk import Fed, Lines, PageTable

HOSTS = (
    ".:0 {\n bind 127.0.0.1\n reload 2s\n hosts /dev/null {\n  192.0.2.%s a.example.org\n }\n}\n"
)


class Quick:
    """A clock whose seconds are a hundredth of one."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_the_file_is_taken_again_and_again_and_one_task_watches_it(tmp_path: Path) -> None:
    path, log = tmp_path / "Corefile", Lines()
    path.write_text(HOSTS % 1)
    world = World(log, PageTable(), Fed(), clock=Quick())
    process = Process(Options(str(path)), world, PlainDatagrams)
    instance = process.load()
    await process._replace(instance)
    instance.work(process._panic)
    try:
        for number in range(2, 6):
            path.write_text(HOSTS % number)
            await until(lambda: log.lines.count("[INFO] Reloading complete") >= number - 1)  # noqa: B023
        await asyncio.sleep(0.1)
        watching = [
            task for task in asyncio.all_tasks()
            if "Reload.run" in repr(task) or "_run()" in repr(task)
        ]  # fmt: skip
        assert log.lines.count("[INFO] Reloading") == 4
        assert len(watching) == len([p for p in process.instance.plugins if p.has_work])  # type: ignore[union-attr]
        path.write_text("nothing good {")
        await until(lambda: any("Restart failed" in line for line in log.lines))
        assert process.instance is not None
    finally:
        await process.close()
