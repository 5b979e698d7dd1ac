"""Processes as facts on disk."""

import os
import signal
from pathlib import Path

from sampan.cluster import processes


def child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def test_a_recorded_process_is_found_until_it_ends(tmp_path: Path) -> None:
    pid = child()
    process = processes.record(tmp_path, "agent", "node1", pid)
    assert processes.living(tmp_path) == [process]
    processes.end([process], grace_s=1)
    assert processes.living(tmp_path) == []
    os.waitpid(pid, 0)
    assert processes.watch_fd(process) is None


def test_a_reused_pid_is_not_mistaken(tmp_path: Path) -> None:
    mine = processes.record(tmp_path, "agent", "", os.getpid())
    other = processes.Process(mine.component, mine.node, mine.pid, mine.started + 1)
    assert processes.is_alive(mine)
    assert not processes.is_alive(other)
    assert processes.watch_fd(other) is None


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(writing, b"x")
        while True:
            signal.pause()
    os.read(reading, 1)
    process = processes.record(tmp_path, "stubborn", "", pid)
    processes.end([process], grace_s=0.05)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    os.close(reading)
    os.close(writing)


def test_rubbish_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("{")
    (tmp_path / "other").write_text("{}")
    assert processes.living(tmp_path) == []
