"""The container runtime contract: one suite for the fake and for the real launcher."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.linux.base.processes import (
    Container,
    Exit,
    Limits,
    Mount,
    Output,
    Rights,
    Root,
    Runtime,
    RuntimeFailure,
    Sandbox,
    StartFailure,
    Stdio,
    User,
)
from sampan.linux.fake.processes import FakeRuntime
from sampan.linux.real import launcher
from sampan.linux.real.processes import LaunchedRuntime
from sampan.std.clock import SystemClock

GROUP = f"sampan/test-{os.getpid()}/node"
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[str]:
    """A launcher of its own, and nothing left of it."""
    place = str(tmp_path / "run")
    launcher.spawn(place, cgroup=GROUP)
    yield place
    launcher.cleanup(place)


@pytest.fixture
def kernel(run_dir: str) -> LaunchedRuntime:
    return LaunchedRuntime(run_dir)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param == "fake":
        return FakeRuntime(SystemClock())
    kernel: Runtime = request.getfixturevalue("kernel")
    return kernel


class Bench:
    """Names, and a way to wait for ends."""

    def __init__(self, runtime: Runtime, logs: Path) -> None:
        self.runtime, self.logs = runtime, logs
        self.ends = runtime.exits()

    async def sandbox(self, name: str = "s") -> None:
        await self.runtime.run_sandbox(Sandbox(name, f"{GROUP}/{name}", hostname="pod-a"))

    def container(self, name: str, *argv: str, **more: object) -> Container:
        output = Output(str(self.logs / f"{name}.log"))
        base = {"env": (PATH,), "output": output, "labels": {"who": name}}
        return Container(name, "s", argv, f"{GROUP}/s/{name}", **{**base, **more})  # type: ignore[arg-type]

    async def ended(self, name: str) -> Exit:
        async with asyncio.timeout(10):
            async for found in self.ends:
                if found == name:
                    break
        return await self.exit(name)

    async def exit(self, name: str) -> Exit:
        snapshot = await self.runtime.snapshot()
        how = next(c.exit for c in snapshot.containers if c.spec.id == name)
        assert how is not None
        return how

    def log(self, name: str) -> list[str]:
        path = self.logs / f"{name}.log"
        lines = path.read_bytes().decode().split("\n")[:-1] if path.exists() else []
        return [line.split(" ", 1)[1] for line in lines]

    async def said(self, name: str, lines: list[str]) -> None:
        """Wait until the log says just that."""
        async with asyncio.timeout(5):
            while self.log(name) != lines:  # noqa: ASYNC110 - written by another process
                await asyncio.sleep(0.01)


def kill_launcher(run_dir: str) -> None:
    pid = launcher.serving(run_dir)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
async def bench(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(runtime, tmp_path / "logs")
    await made.sandbox()
    yield made
    await made.ends.aclose()  # type: ignore[attr-defined]


async def test_a_container_runs_and_its_exit_code_and_output_are_kept(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "echo", "hello"))
    how = await bench.ended("c")
    assert (how.code, how.signal, how.known, how.oom_killed) == (0, 0, True, False)
    assert bench.log("c") == ["stdout F hello"]


async def test_a_failing_command_is_told_apart(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "false"))
    assert (await bench.ended("c")).code == 1


async def test_a_killed_container_says_by_what(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    await bench.runtime.signal("c", signal.SIGTERM)  # the first process of a namespace ignores it
    await bench.runtime.signal("c", signal.SIGKILL)
    how = await bench.ended("c")
    assert (how.code, how.signal) == (137, 9)
    await bench.runtime.signal("c", signal.SIGKILL)


async def test_a_container_ignores_no_signal_that_its_launcher_ignores(
    bench: Bench, runtime: Runtime
) -> None:
    """A shell cannot trap what was ignored when it began: `trap … HUP` in an entrypoint."""
    if isinstance(runtime, FakeRuntime):
        pytest.skip("the fake has no signals of its own")
    await bench.runtime.start(bench.container("c", "grep", "SigIgn", "/proc/self/status"))
    await bench.ended("c")
    assert bench.log("c") == ["stdout F SigIgn:\t0000000000000000"]


async def test_an_unknown_command_is_a_start_failure_and_is_recorded(bench: Bench) -> None:
    message = 'exec: "nosuch": executable file not found in $PATH'
    with pytest.raises(StartFailure, match=r'exec: "nosuch"'):
        await bench.runtime.start(bench.container("c", "nosuch"))
    how = await bench.exit("c")
    assert (how.code, how.message) == (128, message)


async def test_labels_come_back_and_removal_forgets(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "true"))
    await bench.ended("c")
    snapshot = await bench.runtime.snapshot()
    assert [c.spec.labels["who"] for c in snapshot.containers] == ["c"]
    await bench.runtime.remove("c")
    await bench.runtime.remove("c")
    assert (await bench.runtime.snapshot()).containers == ()


async def test_a_running_container_is_not_removed(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    with pytest.raises(RuntimeFailure):
        await bench.runtime.remove("c")


async def test_removing_a_sandbox_ends_what_runs_in_it(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    await bench.runtime.remove_sandbox("s")
    assert (await bench.ended("c")).code == 137
    assert (await bench.runtime.snapshot()).sandboxes == ()
    await bench.runtime.remove_sandbox("s")


async def test_exec_gives_output_and_exit_code(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    read, write = os.pipe()
    assert await bench.runtime.exec("c", ("echo", "hi"), Stdio(-1, write, write)) == 0
    assert os.read(read, 100) == b"hi\n"
    assert await bench.runtime.exec("c", ("false",), Stdio(-1, write, write)) == 1
    with pytest.raises(StartFailure):
        await bench.runtime.exec("c", ("nosuch",), Stdio(-1, write, write))
    for fd in (read, write):
        os.close(fd)


async def test_exec_reads_its_input_to_the_end(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    (stdin, feed), (read, write) = os.pipe(), os.pipe()
    os.write(feed, b"abc")
    os.close(feed)
    assert await bench.runtime.exec("c", ("cat",), Stdio(stdin, write, write)) == 0
    assert os.read(read, 100) == b"abc"
    for fd in (stdin, read, write):
        os.close(fd)


async def test_exec_with_a_terminal_hands_over_its_master(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = await bench.runtime.exec("c", ("echo", "hi"), Stdio(terminal=theirs.fileno()))
        _, fds, _, _ = socket.recv_fds(ours, 10, 1)
    assert code == 0
    assert os.read(fds[0], 100) == b"hi\r\n"
    os.close(fds[0])


async def test_exec_in_an_ended_container_is_refused(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "true"))
    await bench.ended("c")
    with pytest.raises(RuntimeFailure):
        await bench.runtime.exec("c", ("true",), Stdio())


async def test_cancelling_exec_ends_it(bench: Bench) -> None:
    await bench.runtime.start(bench.container("c", "sleep", "1000"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await bench.runtime.exec("c", ("sleep", "1000"), Stdio())


async def test_a_sandbox_is_made_once(bench: Bench) -> None:
    first = (await bench.runtime.snapshot()).sandboxes[0]
    again = await bench.runtime.run_sandbox(first.spec)
    assert (again.netns, again.created) == (first.netns, first.created)


@pytest.fixture
async def real(kernel: LaunchedRuntime, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(kernel, tmp_path / "logs")
    await made.sandbox()
    yield made
    await made.ends.aclose()  # type: ignore[attr-defined]


async def run(bench: Bench, script: str, **more: object) -> list[str]:
    await bench.runtime.start(bench.container("c", "sh", "-c", script, **more))
    await bench.ended("c")
    return bench.log("c")


@pytest.mark.kernel
async def test_namespaces_are_the_pods_own(real: Bench) -> None:
    lines = await run(real, "hostname; ls /sys/class/net; echo $$; ls -d /proc/[0-9]* | wc -l")
    assert lines[:3] == ["stdout F pod-a", "stdout F lo", "stdout F 1"]


@pytest.mark.kernel
async def test_root_is_copied_on_write_and_hides_what_it_must(real: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("s")
    root = Root(hidden=(f"{tmp_path}/secret", f"{tmp_path}/folder"))
    script = f"ls {tmp_path}/folder; cat {tmp_path}/secret; echo new > {tmp_path}/new; echo done"
    lines = await run(real, script, root=root)
    assert [line for line in lines if line.startswith("stdout")] == ["stdout F done"]
    assert (tmp_path / "secret").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.kernel
async def test_the_machines_other_mounts_are_shown_read_only(real: Bench, tmp_path: Path) -> None:
    from sampan.linux.real import syscalls

    place = tmp_path / "mounted"
    place.mkdir()
    syscalls.mount("tmpfs", str(place), "tmpfs")
    try:
        (place / "file").write_text("there\n")
        lines = await run(real, f"cat {place}/file; echo no > {place}/new || echo refused")
    finally:
        syscalls.umount(str(place))
    assert lines[0] == "stdout F there"
    assert "stdout F refused" in lines


@pytest.mark.kernel
async def test_volumes_users_and_rights(real: Bench, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "in").write_text("volume\n")
    script = (
        "cat /data/deep/in; touch /data/deep/x; id; grep -E 'NoNewPrivs|CapBnd' /proc/self/status"
    )
    lines = await run(
        real,
        script,
        mounts=(Mount("/data/deep", str(volume), readonly=True),),
        user=User("1234", "77", (5, 6)),
        rights=Rights(("NET_BIND_SERVICE",), no_new_privileges=True, readonly_root=True),
    )
    assert "stdout F volume" in lines
    assert not (volume / "x").exists()
    assert any("uid=1234 gid=77" in line and "5(tty),6(disk)" in line for line in lines)
    assert "stdout F NoNewPrivs:\t1" in lines
    assert "stdout F CapBnd:\t0000000000000400" in lines


@pytest.mark.kernel
async def test_output_is_kept_when_the_launcher_is_killed_and_the_container_is_adopted(
    real: Bench, run_dir: str
) -> None:
    await real.runtime.start(real.container("c", "sh", "-c", "sleep 0.3; echo late; exec sleep 99"))
    kill_launcher(run_dir)
    launcher.spawn(run_dir, cgroup=GROUP)
    await real.said("c", ["stdout F late"])
    assert await real.runtime.exec("c", ("true",), Stdio()) == 0
    await real.runtime.signal("c", signal.SIGKILL)
    how = await real.ended("c")
    assert (how.code, how.known) == (137, False)


@pytest.mark.kernel
async def test_an_exit_between_two_launchers_is_unknown(real: Bench, run_dir: str) -> None:
    state = await real.runtime.start(real.container("c", "sleep", "99"))
    kill_launcher(run_dir)
    os.kill(state.pid, signal.SIGKILL)
    launcher.spawn(run_dir, cgroup=GROUP)
    assert not (await real.ended("c")).known


@pytest.mark.kernel
async def test_a_memory_hog_is_oom_killed(real: Bench) -> None:
    limits = Limits(memory_bytes=32 << 20, pids=20)
    await real.runtime.start(
        real.container("c", "python3", "-c", "x = bytearray(200 << 20)", limits=limits)
    )
    how = await real.ended("c")
    assert (how.code, how.oom_killed) == (137, True)


@pytest.mark.kernel
@pytest.mark.parametrize("once", [False, True])
async def test_a_terminal_of_the_containers_own(real: Bench, once: bool) -> None:
    script = "tty; read x; echo got $x"
    await real.runtime.start(
        real.container("c", "sh", "-c", script, tty=True, stdin=True, stdin_once=once)
    )
    (stdin, feed), (read, write) = os.pipe(), os.pipe()
    attached = asyncio.create_task(real.runtime.attach("c", Stdio(stdin, write, -1)))
    await real.runtime.resize("c", 100, 40)
    os.write(feed, b"word\n")
    assert (await real.ended("c")).code == 0
    await attached
    for fd in (stdin, feed, write):
        os.close(fd)
    assert b"got word" in os.read(read, 1000)
    os.close(read)
    assert "stdout F /dev/pts/0\r" in real.log("c")


@pytest.mark.kernel
async def test_input_that_ends_once_ends_for_the_container(real: Bench) -> None:
    await real.runtime.start(real.container("c", "cat", stdin=True, stdin_once=True))
    (stdin, feed), (read, write) = os.pipe(), os.pipe()
    attached = asyncio.create_task(real.runtime.attach("c", Stdio(stdin, write, -1)))
    os.write(feed, b"word\n")
    os.close(feed)
    assert (await real.ended("c")).code == 0
    await attached
    assert os.read(read, 100) == b"word\n"
    for fd in (stdin, read, write):
        os.close(fd)


@pytest.mark.kernel
async def test_a_shared_pid_namespace_has_a_first_process_of_its_own(
    kernel: LaunchedRuntime, tmp_path: Path
) -> None:
    bench = Bench(kernel, tmp_path / "logs")
    await kernel.run_sandbox(Sandbox("s", f"{GROUP}/s", shared_pid=True))
    await kernel.start(bench.container("a", "sleep", "99"))
    lines = await run(bench, "cat /proc/1/comm; cat /proc/*/comm")
    assert lines[0] == "stdout F pause"
    assert "stdout F sleep" in lines
    await kernel.remove_sandbox("s")
    await bench.ends.aclose()  # type: ignore[attr-defined]


@pytest.mark.kernel
async def test_a_container_may_see_the_processes_of_another(real: Bench) -> None:
    await real.runtime.start(real.container("a", "sleep", "4711"))
    lines = await run(real, "cat /proc/*/cmdline | tr '\\0' ' '", pid_of="a")
    assert any("sleep 4711" in line for line in lines)
    assert (await real.runtime.inspect("a")).exit is None  # type: ignore[union-attr]


@pytest.mark.kernel
async def test_cleanup_leaves_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "other")
    pid = launcher.spawn(place, cgroup=f"{GROUP}-b")
    runtime = LaunchedRuntime(place)
    await runtime.run_sandbox(Sandbox("s", f"{GROUP}-b/s"))
    spec = Container("c", "s", ("sleep", "99"), f"{GROUP}-b/s/c", env=(PATH,),
                     output=Output(str(tmp_path / "log")))  # fmt: skip
    state = await runtime.start(spec)
    launcher.cleanup(place)
    assert leftovers(place, pid, state.pid) == []
    launcher.cleanup(place)


def leftovers(place: str, launcher_pid: int, pid: int) -> list[str]:
    os.waitpid(launcher_pid, 0)
    mounts = Path("/proc/self/mountinfo").read_text()
    groups = Path("/sys/fs/cgroup").glob(f"*/{GROUP}-b")
    return [
        *(["process"] if os.path.exists(f"/proc/{pid}/exe") else []),
        *(["mount"] if place in mounts else []),
        *(["files"] if os.path.exists(place) else []),
        *map(str, groups),
    ]


@pytest.mark.kernel
async def test_a_second_launcher_leaves_the_first_alone(run_dir: str) -> None:
    first = launcher.serving(run_dir)
    assert launcher.spawn(run_dir, cgroup=GROUP) == first
