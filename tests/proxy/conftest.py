"""A small network of namespaces for the proxy's kernel tests: the lab of the recorded cases."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sampan.linux.real import bpf
from sampan.linux.real.bpf_call import PROG_DETACH, Directory, attached, identity
from sampan.linux.real.bpf_call import bpf as bpf_call
from tests.proxy.life import Api, Process, Running, cleanup, forget_flows, movers, sh, until

LAB = Path(__file__).parents[1] / "recorded" / "proxy"
REPO = Path(__file__).parents[2]
NODE = "rp-node"


@pytest.fixture(scope="session")
def lab() -> Iterator[ModuleType]:
    """The lab's module, with its namespaces built; one test run at a time has them."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    sys.path.insert(0, str(LAB))
    try:
        import lab as module
    finally:
        sys.path.remove(str(LAB))
    with open("/tmp/sampan-proxy-lab.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = _programs()
        try:
            with module.Lab():
                yield module
        finally:
            _programs(keep=before)


def _programs(keep: Collection[object] | None = None) -> set[object]:
    """What is attached to the root group, where eBPF mode alone serves the whole machine. With
    `keep` all else is detached: a test that was killed must not go on serving it.
    """
    found: set[object] = set()
    with Directory("") as group:
        for kind in bpf.ATTACH.values():
            for program in attached(group, kind):
                one = identity(program)
                found.add(one)
                if keep is not None and one not in keep:
                    bpf_call(PROG_DETACH, struct.pack("=IIII", group, program, kind, 0))
                os.close(program)
    return found


@pytest.fixture(scope="session")
def cgroup() -> Iterator[str]:
    """A control group with this process in it; its path below the unified hierarchy."""
    root = next(
        path
        for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
        if (path / "cgroup.procs").exists()
    )
    group = root / f"sampan-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield group.name
    finally:
        _leave(group, root)


def _leave(group: Path, root: Path) -> None:
    """Everyone back to the root group; processes that are just ending hold it a moment longer."""
    deadline = time.monotonic() + 10
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="module")
def load(lab: ModuleType, cgroup: str) -> Iterator[Callable[[str, str], None]]:
    """`load(mode, case)` programs a case folder in the node's namespace. Nothing of it is left to
    the tests after these.
    """
    process = subprocess.Popen(
        ["ip", "netns", "exec", NODE, sys.executable, "-m", "tests.proxy.load_case", cgroup],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPO,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def one(mode: str, case: str) -> None:
        process.stdin.write(f"{mode} {case}\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        assert answer == "ok", answer

    try:
        yield one
    finally:
        process.stdin.close()
        process.stdout.close()
        assert process.wait(30) == 0


@pytest.fixture
def api(lab: ModuleType) -> Iterator[Api]:
    made = Api(lab)
    yield made
    made.close()


@pytest.fixture
def start(api: Api, cgroup: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`start(mode)` gives a proxy whose rules are in force."""
    made: list[Process] = []

    def one(mode: str, *flags: str) -> Process:
        made.append(Process(api, mode, tmp_path, f"--ebpf-cgroup={cgroup}", *flags))
        return made[-1].started()

    forget_flows()
    yield one
    for process in made:
        process.stop()
    done = cleanup(f"--ebpf-cgroup={cgroup}")
    assert done.returncode == 0, done.stderr
    assert "kube-proxy" not in sh("nft list ruleset")
    until(lambda: not movers())


@pytest.fixture
def run(lab: ModuleType, cgroup: str) -> Iterator[Callable[..., Running]]:
    """`run(mode)` gives a proxy in this process, to know when a change is in force; more of its
    configuration may be said.
    """
    made: list[Running] = []

    def one(mode: str, **config: Any) -> Running:
        made.append(Running(lab, mode, cgroup, **config))
        return made[-1]

    forget_flows()
    yield one
    for proxy in made:
        proxy.stop()
        proxy.clean()
