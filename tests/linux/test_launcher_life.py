"""A launcher outlives who started it, but not one who died before it was there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.linux.real import launcher

pytestmark = pytest.mark.kernel


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "run")
    launcher.cleanup(str(tmp_path / "run"))


def starter(place: str) -> int:
    """A process that starts a launcher for `place`, and then waits."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        launcher.spawn_detached(place)
        Path(place, "started").touch()
        signal.pause()
        os._exit(1)
    return pid


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def naming(place: str) -> list[int]:
    """Processes that were started for it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if place.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def test_none_stays_whose_starter_was_killed(place: str) -> None:
    pid = starter(place)
    assert within(10, lambda: naming(place) != [])
    killed(pid)
    assert within(10, lambda: naming(place) == []), naming(place)
    assert launcher.serving(place) == 0


def test_one_whose_starter_was_killed_late_is_found_or_gone(place: str) -> None:
    pid = starter(place)
    assert within(10, Path(place, "launcher.lock").exists)
    killed(pid)

    def settled() -> bool:
        left = naming(place)
        return left in ([], [launcher.serving(place)])

    assert within(10, settled), naming(place)
    launcher.end(place)
    assert within(5, lambda: naming(place) == [])


def test_one_stays_that_was_there_before_and_ends_when_told(place: str) -> None:
    pid = starter(place)
    assert within(10, Path(place, "started").exists)
    killed(pid)
    serving = launcher.serving(place)
    assert naming(place) == [serving]
    launcher.end(place)
    assert launcher.serving(place) == 0
    assert within(5, lambda: naming(place) == [])
    launcher.end(place)
