"""Reading container logs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.kubelet.logs import LogOptions, read_log, tail_text
from sampan.testing.clock import JumpingClock, run_jumping


def line(number: int, text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-11-20T19:36:{number:02d}.5Z {stream} {tag} {text}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(line(n, f"line {n}") for n in range(10)))
    return path


def read(path: Path, options: LogOptions) -> str:
    async def main() -> str:
        found = read_log(str(path), options, JumpingClock(), lambda: True)
        return b"".join([chunk async for chunk in found]).decode()

    return run_jumping(main())


def test_all_of_it(log: Path) -> None:
    assert read(log, LogOptions()) == "".join(f"line {n}\n" for n in range(10))


@pytest.mark.parametrize(("lines", "first"), [(0, None), (1, 9), (3, 7), (10, 0), (99, 0)])
def test_the_last_lines(log: Path, lines: int, first: int | None) -> None:
    want = "" if first is None else "".join(f"line {n}\n" for n in range(first, 10))
    assert read(log, LogOptions(tail_lines=lines)) == want


def test_the_last_lines_of_a_long_log(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(line(n % 60, "x" * 500 + str(n)) for n in range(1000)))
    found = read(path, LogOptions(tail_lines=300)).splitlines()
    assert [text.lstrip("x") for text in found] == [str(n) for n in range(700, 1000)]


def test_since_a_moment_with_times(log: Path) -> None:
    found = read(log, LogOptions(since=1795203368.0, timestamps=True))
    assert found == "2026-11-20T19:36:08.5Z line 8\n2026-11-20T19:36:09.5Z line 9\n"


def test_no_more_than_so_many_bytes(log: Path) -> None:
    assert read(log, LogOptions(limit_bytes=9)) == "line 0\nli"


def test_one_stream_only(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "out") + line(2, "err", "stderr"))
    assert read(path, LogOptions(stream="Stderr")) == "err\n"


def test_pieces_of_a_line_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "one,", tag="P") + line(1, "two") + line(2, "three"))
    found = read(path, LogOptions(timestamps=True))
    assert found == "2026-11-20T19:36:01.5Z one,two\n2026-11-20T19:36:02.5Z three\n"


def test_following_ends_with_the_container_and_survives_rotation(log: Path) -> None:
    async def main() -> str:
        over = False
        got: list[bytes] = []

        async def follow() -> None:
            options = LogOptions(follow=True, tail_lines=1)
            found = read_log(str(log), options, JumpingClock(), lambda: over)
            got.extend([chunk async for chunk in found])

        task = asyncio.create_task(follow())
        await asyncio.sleep(1)
        append(log, line(11, "more"))
        await asyncio.sleep(1)
        rotate(log)
        append(log, line(12, "after"))
        await asyncio.sleep(1)
        append(log, line(13, "last"))
        over = True
        await task
        return b"".join(got).decode()

    assert run_jumping(main()) == "line 9\nmore\nafter\nlast\n"


def rotate(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_end_as_plain_text(log: Path, tmp_path: Path) -> None:
    assert tail_text(str(log), 2) == "line 8\nline 9\n"
    assert tail_text(str(tmp_path / "none"), 2) == ""
