"""The launcher: one small process per node, the parent of everything that runs in its pods.

It is forked early, while the heap is small, because a fork costs what the parent holds. It knows no
Kubernetes: specs are files (`records`), a Unix socket is the doorbell (`launcherloop`), exits are
written to disk. Whoever asked may die: containers go on, their output is kept, and the launcher
may die too: a new one adopts what still runs by pid and birth (an exit that nobody saw is `known:
false`).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import stat
import sys
import time

from sampan.linux.real import syscalls as sc
from sampan.linux.real.cgroups import KernelCgroups
from sampan.linux.real.records import (
    Records,
    process_start,
    read_json,
    remove_tree,
    write_json,
)

STOP_PATIENCE_S = 5.0


def spawn(run_dir: str, *, cgroup: str = "", state_dir: str = "") -> int:
    """Fork a node's launcher; its pid. Call it early: from a process with one thread.

    Its socket listens when this returns. `cgroup` and `state_dir` are noted for `cleanup`. Where a
    launcher already serves `run_dir`, that one stays and its pid is answered.
    """
    records = Records(run_dir)
    records.prepare()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(reading)
            _child(records, writing, {"cgroup": cgroup, "state_dir": state_dir})
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as file:
        answer = file.read().strip()
    if not answer:
        raise OSError(f"the launcher for {run_dir} ended before it was ready")
    if int(answer) != pid:
        os.waitpid(pid, 0)
    return int(answer)


def spawn_detached(run_dir: str, *, cgroup: str = "", state_dir: str = "") -> None:
    """The same from a process that is large or has threads: a fresh interpreter is the parent, and
    is gone when this returns. If we are killed before, nothing is left of it.
    """
    me = str(os.getpid())
    argv = [sys.executable, "-m", "sampan.linux.real.launcher", run_dir, cgroup, state_dir, me]
    pid = os.posix_spawn(sys.executable, argv, os.environ)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(f"the launcher for {run_dir} could not be started (exit {code})")


def serving(run_dir: str) -> int:
    """The pid of the launcher that serves `run_dir`, 0 if none does."""
    facts = read_json(f"{run_dir}/launcher.json")
    if facts is None or process_start(facts["pid"]) != facts["born"]:
        return 0
    return int(facts["pid"])


def end(run_dir: str) -> None:
    """Kill the launcher that serves `run_dir`, if one does, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        if pid := serving(run_dir):
            os.kill(pid, signal.SIGKILL)
        lock = os.open(f"{run_dir}/launcher.lock", os.O_RDWR | os.O_CLOEXEC)
        deadline = time.monotonic() + STOP_PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.002)
        os.close(lock)


def cleanup(run_dir: str) -> None:
    """End and remove everything of a node, from what is on disk alone: launcher, processes,
    cgroups, mounts, files. Doing it twice, or without anything there, is fine.
    """
    records = Records(run_dir)
    facts = read_json(f"{run_dir}/launcher.json") or {}
    end(run_dir)
    cgroups = KernelCgroups()
    groups = {spec.cgroup for name in records.names("sandboxes") if (spec := records.sandbox(name))}
    for group in sorted(groups) + [facts[key] for key in ("cgroup",) if facts.get(key)]:
        _end(cgroups, group)
        cgroups.remove_empty_parents(group)
    for top in (run_dir, facts.get("state_dir")):
        if top:
            unmount_below(top)
    remove_tree(run_dir)


def _end(cgroups: KernelCgroups, group: str) -> None:
    """Kill and remove; processes need a moment to be gone."""
    cgroups.kill(group)
    deadline = time.monotonic() + STOP_PATIENCE_S
    while True:
        try:
            cgroups.remove(group)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def unmount_below(top: str) -> None:
    """Every mount at or below `top`, the deepest first."""
    from sampan.linux.real.hostmounts import is_below, unescaped

    with open("/proc/self/mountinfo") as file:
        places = [unescaped(line.split(" ", 5)[4]) for line in file]
    real = os.path.realpath(top)
    for place in sorted((p for p in places if is_below(p, real)), key=len, reverse=True):
        with contextlib.suppress(OSError):
            sc.umount(place)


def _child(records: Records, ready: int, facts: dict[str, str]) -> None:
    """The launcher process, from its fork on; returns only to die."""
    from sampan.linux.real.launcherloop import Launcher, listener

    os.setsid()
    sc.set_process_name("sampan-launcher")
    sc.prctl(sc.PR_SET_CHILD_SUBREAPER, 1)
    ready = _only_stdio(ready, f"{records.run_dir}/launcher.log")
    lock = os.open(f"{records.run_dir}/launcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(ready, str(serving(records.run_dir)).encode())
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    pid = os.getpid()
    here = {"pid": pid, "born": process_start(pid), **facts}
    write_json(f"{records.run_dir}/launcher.json", here)
    launcher = Launcher(records, KernelCgroups(), listener(records.run_dir))
    launcher.adopt()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    os.write(ready, str(pid).encode())
    os.close(ready)
    launcher.serve()


def _only_stdio(keep: int, log: str) -> int:
    """Let go of whatever the parent had open; `keep` moves to a known place. A pipe that the
    parent writes to would stay open as long as we live, and its reader wait for that.
    """
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    for number in (1, 2):
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, number)
    os.dup2(keep, 3, inheritable=False)
    sc.close_range(4)
    return 3


def main(run_dir: str, cgroup: str, state_dir: str, parent: str) -> int:
    """Between a starter and its launcher, which ends if nobody is left to hear that it is ready."""
    sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        return 1  # it was gone before we could ask to go with it
    spawn(run_dir, cgroup=cgroup, state_dir=state_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
