"""What an overload may cost: answers, never memory."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.name
import pytest

from sampan.dns import fastpath
from sampan.dns.fastpath import Memo
from sampan.dns.kube import snapshot
from sampan.dns.plugin import Validity
from sampan.dns.top import Most
from tests.dns.clusters import namespace, service, slice_
from tests.dns.desk import row
from tests.dns.test_processes import ask, free_port


def test_those_who_ask_most_are_found_among_names_without_end() -> None:
    chance = random.Random(5)
    most, true = Most(limit=100), Counter[str]()
    for turn in range(50_000):
        name = f"busy{turn % 7}" if chance.random() < 0.3 else f"random{turn}"
        most.add(name)
        true[name] += 1
    assert len(most.counts) <= 100
    assert most.total == 50_000
    for name, count in true.most_common(7):
        assert count - most.missing <= most.counts[name] <= count
    first = {line.split()[1] for line in most.table().splitlines()[:7]}
    assert first == {f"busy{number}" for number in range(7)}
    assert f"may be {most.missing} more" in most.table()


def test_rows_are_bounded_by_what_they_hold_and_rotations_count_when_they_are_made() -> None:
    memo = Memo()
    big = b"x" * 4000
    for number in range(3 * fastpath.MAX_BYTES // 4000):
        wire = number.to_bytes(16)
        memo.keep(wire, big, Validity(("tag",)), (), (8, lambda turn: big))
        memo.find(wire, 0.0)
        assert memo.size <= fastpath.MAX_BYTES + 20_000
    assert memo.size == sum(row.size for row in memo.rows.values())
    memo.drop(["tag"])
    assert (memo.size, memo.rows) == (0, {})


def test_a_row_that_is_kept_again_and_again_is_tagged_once() -> None:
    memo = Memo()
    for turn in range(1000):
        memo.keep(b"12question", b"12answer", Validity(("self",), until=float(turn)), ())
    assert len(memo._tagged["self"]) == 1


def test_rows_that_name_the_serial_end_together_and_make_room_when_asked_for() -> None:
    memo, told = Memo(), list[int]()
    memo.keep(b"12old", b"12answer", Validity(("serial",)), (lambda hits, _: told.append(hits),))
    memo.keep(b"12firm", b"12answer", Validity(("self",)), ())
    assert memo.find(b"34old", 0.0) == b"34answer"
    memo.drop(["serial"])
    assert memo.find(b"34old", 0.0) is None
    assert memo.find(b"34firm", 0.0) == b"34answer"
    assert list(memo.rows) == [b"firm"]
    assert told == [1]


TURNS = 12_000
"""Enough to take 160 MB where nothing counts what rows hold."""
COREFILE = """.:{port} {{
    errors
    prometheus 127.0.0.1:{page}
    kubernetes cluster.local {{
        endpoint http://127.0.0.1:1
        startup_timeout 100ms
        snapshot {folder}/snapshot
    }}
    cache 30
    loadbalance
    {more}
}}
"""


@contextmanager
def serving(folder: Path, more: str = "") -> Iterator[tuple[int, int, subprocess.Popen[bytes]]]:
    """Port, port of the counters, process."""
    port, page = free_port(), free_port()
    many = [f"10.1.{number // 200}.{number % 200}" for number in range(60)]
    objects = [namespace("demo"), service("db"), slice_("db", *many)]
    snapshot.write(str(folder / "snapshot"), map(row, objects))
    (folder / "Corefile").write_text(
        COREFILE.format(port=port, page=page, folder=folder, more=more)
    )
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sampan", "dns", "-conf", str(folder / "Corefile")],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        while "Sampan-" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield port, page, process
    finally:
        process.terminate()
        process.wait(timeout=20)


def resident_mb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1]) // 1024


def spelled(chance: random.Random, name: str) -> str:
    return "".join(chance.choice((c.lower(), c.upper())) for c in name)


@pytest.mark.e2e
def test_new_spellings_and_random_names_do_not_grow_the_server(tmp_path: Path) -> None:
    """170 Mi is what the add-on's Deployment allows; two thirds of it are enough."""
    chance = random.Random(3)
    query = dns.message.make_query("db.demo.svc.cluster.local.", "A", use_edns=0, payload=4096)
    wire = query.to_wire()
    base, rest = wire[:12], wire[wire.index(b"\x00\x00\x01", 12) :]
    labels = [b"db", b"demo", b"svc", b"cluster", b"local"]
    with serving(tmp_path) as (port, _, process), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        for turn in range(TURNS):
            spelling = [spelled(chance, label.decode()).encode() for label in labels]
            if turn % 4 == 0:
                spelling[0] = b"x%d" % turn
            name = b"".join(bytes((len(label),)) + label for label in spelling)
            sock.send(turn.to_bytes(2) + base[2:] + name + rest)
            if turn % 50 == 49:
                for _ in range(50):
                    assert len(sock.recv(4096)) > 12
        assert resident_mb(process.pid) < 120


@pytest.mark.e2e
def test_what_is_shed_is_counted(tmp_path: Path) -> None:
    """An upstream that is silent holds queries; `shed` keeps the queue short, and says so."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        more = f"forward example.org 127.0.0.1:{silent.getsockname()[1]}\n    shed"
        with serving(tmp_path, more) as (port, page, process):
            query = dns.message.make_query("a.example.org.", "A")
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                for number in range(4000):
                    query.id = number
                    query.question[0].name = dns.name.from_text(f"n{number}.example.org.")
                    sock.sendto(query.to_wire(), ("127.0.0.1", port))
            assert len(ask(port, "db.demo.svc.cluster.local.", tcp=True).answer[0]) == 60
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics") as shown:
                text = shown.read().decode()
            shed = re.search(r'^sampan_dns_shed_total\{server="dns://:\d+"\} (\d+)', text, re.M)
            assert shed
            assert int(shed[1]) > 500
            assert resident_mb(process.pid) < 120
