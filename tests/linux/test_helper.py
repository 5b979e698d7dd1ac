"""A process beside the asking one: how long it lives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sampan.linux.base.helper import HelperError
from sampan.linux.real.helper import RealHelper

MOVER = "sampan.proxy.backends.userspace.mover"
NOTHING: dict[str, Any] = {"portals": []}
ANSWER = {"numbers": {}, "errors": {}}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends(pid: int, patience_s: float = 10) -> bool:
    deadline = time.monotonic() + patience_s
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def pid_of(helper: RealHelper) -> int:
    assert helper._child is not None
    return helper._child.popen.pid


def test_it_answers_until_it_is_closed() -> None:
    async def story() -> int:
        helper = RealHelper(MOVER)
        assert await helper.ask(NOTHING) == ANSWER
        pid = pid_of(helper)
        assert await helper.ask(NOTHING) == ANSWER
        assert pid_of(helper) == pid
        await helper.close()
        return pid

    assert not alive(asyncio.run(story()))


def test_one_that_was_killed_is_told_and_started_again() -> None:
    async def story() -> None:
        helper = RealHelper(MOVER)
        await helper.ask(NOTHING)
        first = pid_of(helper)
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(helper.ended(), 10)
        assert await helper.ask(NOTHING) == ANSWER
        assert pid_of(helper) != first
        await helper.close()

    asyncio.run(story())


def test_one_that_was_replaced_before_anybody_waited_is_told_once() -> None:
    """What the first one was asked to do nobody does now, although a process runs."""

    async def story() -> None:
        helper = RealHelper(MOVER)
        await helper.ask(NOTHING)
        assert helper._child is not None
        os.kill(pid_of(helper), signal.SIGKILL)
        await helper._child.ended.wait()
        assert await helper.ask(NOTHING) == ANSWER
        await asyncio.wait_for(helper.ended(), 10)
        again = asyncio.ensure_future(helper.ended())
        assert await helper.ask(NOTHING) == ANSWER
        assert not again.done()
        os.kill(pid_of(helper), signal.SIGKILL)
        await asyncio.wait_for(again, 10)
        assert await helper.ask(NOTHING) == ANSWER
        last = asyncio.ensure_future(helper.ended())
        assert await helper.ask(NOTHING) == ANSWER
        assert not last.done(), "that end was told"
        last.cancel()
        await helper.close()

    asyncio.run(story())


def test_a_program_that_says_nothing_is_an_error() -> None:
    async def story() -> None:
        with pytest.raises(HelperError, match="ended without an answer"):
            await RealHelper("__future__").ask(NOTHING)

    asyncio.run(story())


ASKER = f"""
import asyncio, gc, os, signal, sys, time
from sampan.linux.real.helper import RealHelper

async def story():
    helper = RealHelper({MOVER!r}, sys.argv[2:], lasting=bool(sys.argv[2:]))
    await helper.ask({NOTHING!r})
    if sys.argv[1] == "again":
        os.kill(helper._child.popen.pid, signal.SIGKILL)
        await helper.ended()
        await helper.ask({NOTHING!r})
    print(helper._child.popen.pid, flush=True)

asyncio.run(story())
gc.collect()
if sys.argv[1] == "fork":
    child = os.fork()
    if not child:
        os.closerange(0, 3)
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
    os._exit(0)
"""


def asker(*words: str) -> list[int]:
    """What a process that had a helper printed; returns when all has closed its output."""
    command = [sys.executable, "-c", ASKER, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [int(word) for word in done.stdout.split()]


def test_it_ends_with_its_asker_also_where_a_fork_has_the_pipe() -> None:
    pid, fork = asker("fork")
    try:
        assert ends(pid)
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize("story", ["once", "again"])
def test_a_lasting_one_outlives_its_asker_and_holds_no_pipe_of_it(story: str) -> None:
    begun = time.monotonic()
    (pid,) = asker(story, "lasting")
    try:
        assert alive(pid)
        assert time.monotonic() - begun < 50
    finally:
        os.kill(pid, signal.SIGKILL)
        assert ends(pid)
