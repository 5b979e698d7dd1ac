"""The process that starts the others, killed at the worst moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sampan.cluster import processes, supervisor
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.cluster.processes import Process
from sampan.cluster.supervisor import STOPPING, Role, Supervisor


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "state", tmp_path / "run")
    made.make()
    return made


def waiting(config: ClusterConfig, paths: Paths, node: str) -> int:
    signal.alarm(10)
    (paths.state / "began").touch()
    signal.pause()
    return 0


def killed_before_it_records(paths: Paths) -> None:
    """A supervisor that forks an agent and gets no further; returns when it is dead."""
    maker = os.fork()
    if maker == 0:
        record, me = processes.record, os.getpid()

        def deadly(folder: Path, component: str, node: str, pid: int) -> Process:
            if os.getpid() == me:
                os.kill(me, signal.SIGKILL)
            return record(folder, component, node, pid)

        supervisor.processes.record = deadly
        Supervisor(ClusterConfig(), paths, [Role("agent", "node1", waiting)]).run([])
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(maker, 0)[1]) == signal.SIGKILL


def test_a_child_is_known_though_its_parent_was_killed_at_once(paths: Paths) -> None:
    killed_before_it_records(paths)
    until = time.monotonic() + 10
    while not (paths.state / "began").exists() and time.monotonic() < until:
        os.sched_yield()
    (agent,) = processes.living(paths.processes)
    assert agent.key == ("agent", "node1")
    processes.end([agent], grace_s=0)


def test_a_child_that_comes_while_all_are_ended_does_not_begin(paths: Paths) -> None:
    (paths.run / STOPPING).touch()
    made = Supervisor(ClusterConfig(), paths, [])
    pid = os.fork()
    if pid == 0:
        made._child(Role("agent", "node1", waiting))
    assert os.waitpid(pid, 0)[1] == 0
    assert not (paths.state / "began").exists()
    assert processes.living(paths.processes) == []
