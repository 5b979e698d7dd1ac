"""Control groups: the text of every hierarchy, and one suite for the fake and the kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from sampan.linux.base.cgroups import Cgroups
from sampan.linux.base.processes import Limits
from sampan.linux.fake.cgroups import FakeCgroups
from sampan.linux.real.cgroups import (
    Hierarchies,
    KernelCgroups,
    hierarchies,
    v1_settings,
    v2_settings,
)

HYBRID = """\
31 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
33 31 0:29 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
JOINED = "32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
UNIFIED = "35 31 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"


def test_hybrid_hierarchies_are_told_apart() -> None:
    found = hierarchies(HYBRID)
    assert found.unified == "/sys/fs/cgroup/unified"
    assert found.v1["memory"] == "/sys/fs/cgroup/memory"
    assert len(found.roots()) == 4


def test_controllers_mounted_together_are_one_root() -> None:
    assert hierarchies(JOINED).roots() == ("/sys/fs/cgroup/cpu,cpuacct",)


def test_a_pure_unified_machine_has_one_root() -> None:
    assert hierarchies(UNIFIED) == Hierarchies({}, "/sys/fs/cgroup")


def test_limits_in_the_words_of_each_version() -> None:
    limits = Limits(cpu_shares=1024, cpu_quota_us=50_000, memory_bytes=1 << 20, pids=10)
    assert ("cpu", "cpu.cfs_quota_us", "50000") in v1_settings(limits)
    assert ("cpu", "cpu.max", "50000 100000") in v2_settings(limits)
    assert ("cpu", "cpu.weight", "39") in v2_settings(limits)
    assert v1_settings(Limits()) == v2_settings(Limits()) == ()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def groups(request: pytest.FixtureRequest) -> Iterator[Cgroups]:
    if request.param == "fake":
        yield FakeCgroups()
        return
    kernel = KernelCgroups()
    yield kernel
    kernel.kill(f"sampan/test-{os.getpid()}")
    kernel.remove(f"sampan/test-{os.getpid()}")
    kernel.remove_empty_parents(f"sampan/test-{os.getpid()}")


def test_a_group_is_made_read_and_removed(groups: Cgroups) -> None:
    path = f"sampan/test-{os.getpid()}/a"
    assert groups.usage(path, 1.0) is None
    groups.ensure(path, Limits(memory_bytes=64 << 20))
    groups.ensure(path, Limits(memory_bytes=64 << 20))
    usage = groups.usage(path, 1.0)
    assert usage is not None
    assert (usage.time, usage.processes, usage.oom_kills) == (1.0, 0, 0)
    groups.kill(path)
    groups.remove(path)
    groups.remove(path)
    assert groups.usage(path, 1.0) is None


@pytest.mark.kernel
def test_a_group_in_use_is_not_removed() -> None:
    kernel, path = KernelCgroups(), f"sampan/test-{os.getpid()}/b"
    kernel.ensure(path, Limits())
    with subprocess.Popen(["sleep", "60"], preexec_fn=lambda: kernel.join_unified(path)) as child:
        assert kernel.processes(path) == (child.pid,)
        with pytest.raises(OSError, match="busy"):
            kernel.remove(path)
        kernel.kill(path)
    kernel.remove(path)
    kernel.remove_empty_parents(path)
