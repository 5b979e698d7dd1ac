"""What a container's start decides without a kernel: mounts shown, users, log lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux.base.logformat import PIECE, Cutter, stamp
from sampan.linux.base.processes import Container, Mount, Output, Sandbox, User
from sampan.linux.real.hostmounts import HostMount, local_mounts
from sampan.linux.real.identity import UnknownUser, resolve
from sampan.linux.real.logpump import LogFile, Pump, Tap
from sampan.linux.real.records import Records

MOUNTINFO = """\
1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:1 / /proc rw - proc proc rw
3 1 0:2 / /tmp rw,nosuid - tmpfs tmpfs rw
4 1 8:2 / /home rw,noexec - ext4 /dev/vdb rw
5 4 8:3 / /home/a\\040b rw - xfs /dev/vdc rw
6 1 0:3 / /net rw - nfs4 server:/x rw
7 1 0:4 / /run/sampan/x/netns rw - tmpfs tmpfs rw
8 1 0:5 net:[1] /var/lib/pin rw - nsfs nsfs rw
"""
PASSWD = ["root:x:0:0:root:/root:/bin/sh", "web:x:33:34:web:/srv:/bin/sh", "broken"]
GROUP = ["root:x:0:", "web:x:34:", "extra:x:50:web,other", "spare:x:51:"]


def test_local_mounts_are_shown_and_kernel_network_and_own_ones_are_not() -> None:
    assert local_mounts(MOUNTINFO, ("/run/sampan",)) == (
        HostMount("/tmp", True, 2),
        HostMount("/home", False, 8),
        HostMount("/home/a b", False, 0),
    )


def test_users_by_name_number_and_group() -> None:
    web = resolve(User("web"), PASSWD, GROUP)
    assert (web.uid, web.gid, web.groups, web.home) == (33, 34, (34, 50), "/srv")
    assert resolve(User("33"), PASSWD, GROUP) == web
    assert resolve(User("web", "spare"), PASSWD, GROUP).groups == (51,)
    assert resolve(User("4711", "", (9,)), PASSWD, GROUP).groups == (0, 9)
    assert resolve(User("web", own_groups=False), PASSWD, GROUP).groups == (34,)


@pytest.mark.parametrize("user", [User("nobody"), User("web", "nogroup")])
def test_unknown_names_are_refused(user: User) -> None:
    with pytest.raises(UnknownUser, match="unable to find"):
        resolve(user, PASSWD, GROUP)


def test_stamp_has_nanoseconds() -> None:
    assert stamp(1795203380_000000007) == b"2026-11-20T19:36:20.000000007Z"


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 7))
def test_cut_lines_carry_the_same_bytes(lines: list[bytes], step: int) -> None:
    data = b"\n".join(lines)
    cutter, out = Cutter("stdout"), b""
    for start in range(0, len(data), step):
        out += cutter.feed(data[start : start + step], b"T")
    out += cutter.flush(b"T")
    bodies = [line.split(b" ", 3)[3] for line in out.split(b"\n")[:-1]]
    want = data.split(b"\n")
    assert bodies == (want if want[-1] else want[:-1])


def test_a_line_that_is_too_long_is_cut_into_pieces() -> None:
    cutter = Cutter("stderr")
    out = cutter.feed(b"x" * (2 * PIECE + 5), b"T") + cutter.feed(b"y\nz\n", b"T")
    rows = out.split(b"\n")[:-1]
    assert [row[:12] for row in rows] == [
        b"T stderr P x",
        b"T stderr P x",
        b"T stderr F x",
        b"T stderr F z",
    ]
    assert len(rows[0]) == PIECE + len(b"T stderr P ")


def test_records_give_back_what_they_were_given(tmp_path: object) -> None:
    records = Records(str(tmp_path))
    sandbox = Sandbox("s", "sampan/s", sysctls={"net.a": "1"}, labels={"a": "b"})
    container = Container("c", "s", ("a", "b"), "g", env=("A=b",), mounts=(Mount("/x", "/y"),),
                          user=User("u", groups=(1, 2)), labels={"l": "m"})  # fmt: skip
    records.write_sandbox(sandbox)
    records.write_container(container)
    assert records.sandbox("s") == sandbox
    assert records.container("c") == container
    assert records.container("other") is None


def test_a_full_log_is_rotated_and_the_oldest_forgotten(tmp_path: Path) -> None:
    log = LogFile(Output(str(tmp_path / "c" / "0.log"), max_bytes=100, files=3))
    for second in range(10):
        log.write(b"x" * 60, (1795203380 + second) * 1_000_000_000)
    log.close()
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["0.log", "0.log.20261120-193628", "0.log.20261120-193629"]
    assert (tmp_path / "c" / "0.log").stat().st_size == 60


def test_whoever_is_attached_gets_the_bytes_and_never_holds_up_the_pod(tmp_path: Path) -> None:
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name)
    pump = Pump(str(tmp_path), Output(str(tmp_path / "log")), ("stdout", "stderr"))
    read, write = os.pipe()
    tap = Tap(write, -1)
    pump.taps.append(tap)
    fd = os.open(tmp_path / "stdout", os.O_WRONLY)
    for _ in range(5):
        os.write(fd, b"y" * 60_000)
        pump.step("stdout", 0)
    assert tap.is_behind()
    got = b""
    while len(got) < 300_000:
        got += os.read(read, 65536)
        tap.catch_up()
    assert got == b"y" * 300_000
    os.close(read)
    os.write(fd, b"z")
    pump.step("stdout", 0)
    assert not tap.alive
    os.close(fd)
    pump.finish(lambda: 0)
    tap.close()
    text = (tmp_path / "log").read_bytes()
    assert text.count(b"y") == 300_000
    assert text.endswith(b"z\n")
