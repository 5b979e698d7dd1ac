"""Stopping and deleting, from what disk and kernel say alone: it works after any crash.

Order matters: first those who start others, then pods, then the control plane (it closes its store
properly), at last what they stood on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from sampan.cluster import egress, network, processes, supervisor
from sampan.cluster.paths import Paths
from sampan.linux.real import launcher

CGROUP_ROOT = Path("/sys/fs/cgroup")
CONTROL_PLANE = "controlplane"
STORE_CLOSES_S = 2.0


def stop(name: str, paths: Paths) -> bool:
    """End all processes and pods, remove namespaces, mounts and cgroups; keep the state.

    Whether anything ran. Doing it twice is harmless.
    """
    if not paths.run.exists():
        return False
    (paths.run / supervisor.STOPPING).touch()
    makers = [p for p in processes.living(paths.processes) if p.component == supervisor.SUPERVISOR]
    processes.end(makers, grace_s=0)
    # Looked for only now: until its end a supervisor starts others.
    living = processes.living(paths.processes)
    control = [p for p in living if p.component == CONTROL_PLANE]
    processes.end([p for p in living if p not in control], grace_s=0)
    for node in (paths.run / "nodes").glob("*"):
        launcher.end(str(node))  # one that an agent made in its last moment is in no record
    kill_cgroups(name)
    processes.end(control, grace_s=STORE_CLOSES_S)
    for folder in (paths.run, paths.state):
        launcher.unmount_below(str(folder))
    network.remove(name, paths)
    egress.close_host(name)
    remove_cgroups(name)
    shutil.rmtree(paths.run, ignore_errors=True)
    return bool(makers or living)


def delete(name: str, paths: Paths) -> bool:
    """Stop, and remove the state too. Whether there was anything."""
    was_there = paths.state.exists() or paths.run.exists()
    stop(name, paths)
    shutil.rmtree(paths.state, ignore_errors=True)
    for folder in (paths.state.parent, paths.run.parent):
        # Only when no other cluster lies there.
        with contextlib.suppress(OSError):
            folder.rmdir()
    return was_there


def cgroups_of(name: str) -> list[Path]:
    """The cluster's folder in every hierarchy, v1, v2 and hybrid alike."""
    roots = [CGROUP_ROOT, *(path for path in CGROUP_ROOT.iterdir() if path.is_dir())]
    return [path for root in roots if (path := root / "sampan" / name).is_dir()]


def _folders(top: Path) -> list[Path]:
    """Deepest first."""
    below = [path for path in top.rglob("*") if path.is_dir()]
    return [*sorted(below, key=lambda path: -len(path.parts)), top]


def kill_cgroups(name: str) -> None:
    """SIGKILL whatever is in the cluster's cgroups, until nothing is left (5 s at most)."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        pids = {
            int(pid)
            for top in cgroups_of(name)
            for folder in _folders(top)
            for pid in _read(folder / "cgroup.procs").split()
        }
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def remove_cgroups(name: str) -> None:
    for top in cgroups_of(name):
        for folder in _folders(top):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            top.parent.rmdir()
