"""The command itself: several processes at one port, a reload, signals, clients of all kinds."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import pytest

from sampan.dns.counters import merged


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, corefile: str) -> Iterator[subprocess.Popen[str]]:
    """`sampan dns`, once it said that it listens."""
    path = folder / "Corefile"
    path.write_text(corefile)
    process = subprocess.Popen(
        [sys.executable, "-m", "sampan", "dns", "-conf", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("Sampan-"):
                break
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        process.stdout.close()


def ask(port: int, name: str = "a.example.org.", *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    way = dns.query.tcp if tcp else dns.query.udp
    return way(query, "127.0.0.1", timeout=5, port=port)


def test_two_processes_answer_at_one_port_and_are_counted_together(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    text = f".:{port} {{\n multisocket 2\n whoami\n prometheus 127.0.0.1:{page}\n}}\n"
    with serving(tmp_path, text):
        for _ in range(40):
            assert ask(port).rcode() == 0
        shown = urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics").read().decode()
    counted = re.findall(r'^coredns_dns_requests_total{.*type="A"} (\d+)', shown, re.MULTILINE)
    assert sum(map(int, counted)) == 40


def test_those_who_ask_most_are_named_whatever_process_answers_them(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    text = f".:{port} {{\n multisocket 3\n whoami\n pprof 127.0.0.1:{page}\n}}\n"
    with serving(tmp_path, text), ThreadPoolExecutor() as pool:
        ask(port)
        url = f"http://127.0.0.1:{page}/debug/top?seconds=1"
        shown = pool.submit(lambda: urllib.request.urlopen(url).read().decode())
        time.sleep(0.4)
        for _ in range(40):
            ask(port)
        lines = shown.result(10).splitlines()
    assert lines[0] == "40 queries in 1 s"
    assert [line.split() for line in lines if line.strip()][1:] == [
        ["40", "127.0.0.1"], ["40", "a.example.org."],
    ]  # fmt: skip


def test_counters_are_added_up_and_facts_are_not() -> None:
    one = '# HELP x\na_total{b="c"} 2\nx_info{v="1"} 1\nh_sum 0.5\n'
    two = '# HELP x\na_total{b="c"} 3\na_total{b="d"} 1\nx_info{v="1"} 1\nh_sum 0.25\n'
    assert merged([one, two]).splitlines() == [
        "# HELP x", 'a_total{b="c"} 5', 'x_info{v="1"} 1', "h_sum 0.75", 'a_total{b="d"} 1',
    ]  # fmt: skip


def test_a_signal_reloads_and_no_query_is_lost_and_a_wrong_corefile_changes_nothing(
    tmp_path: Path,
) -> None:
    port = free_port()
    text = f".:{port} {{\n hosts /dev/null {{\n 192.0.2.1 a.example.org\n }}\n}}\n"
    with serving(tmp_path, text) as process:
        assert str(ask(port).answer[0][0]) == "192.0.2.1"
        (tmp_path / "Corefile").write_text(text.replace("192.0.2.1", "192.0.2.2"))
        process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while str(ask(port).answer[0][0]) != "192.0.2.2":
            assert time.monotonic() < deadline
        (tmp_path / "Corefile").write_text(text.replace("hosts", "host"))
        process.send_signal(signal.SIGUSR1)
        for _ in range(20):
            assert str(ask(port, tcp=True).answer[0][0]) == "192.0.2.2"


@pytest.mark.parametrize("word", ["dig", "nslookup"])
def test_clients_that_people_have(tmp_path: Path, word: str) -> None:
    if shutil.which(word) is None:
        pytest.skip(f"no {word}")
    port = free_port()
    text = f".:{port} {{\n hosts /dev/null {{\n 192.0.2.1 a.example.org\n }}\n}}\n"
    options = {
        "dig": ["+short", "+time=3", "-p", str(port), "@127.0.0.1", "a.example.org"],
        "nslookup": [f"-port={port}", "-timeout=3", "a.example.org", "127.0.0.1"],
    }
    with serving(tmp_path, text):
        done = subprocess.run([word, *options[word]], capture_output=True, text=True, check=True)
    assert "192.0.2.1" in done.stdout


def test_those_who_ask_most_are_named_while_somebody_looks(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    hosts = "hosts /dev/null {\n 192.0.2.1 a.example.org\n }"
    text = f".:{port} {{\n {hosts}\n pprof 127.0.0.1:{page}\n}}\n"
    with serving(tmp_path, text), ThreadPoolExecutor() as pool:
        ask(port)
        url = f"http://127.0.0.1:{page}/debug/top?seconds=1"
        shown = pool.submit(lambda: urllib.request.urlopen(url).read().decode())
        time.sleep(0.3)
        for _ in range(7):
            ask(port)
        ask(port, "b.example.org.")
        ask(port, tcp=True)
        lines = shown.result(10).splitlines()
    assert lines[0] == "9 queries in 1 s"
    assert [line.split() for line in lines if line.strip()][1:] == [
        ["9", "127.0.0.1"], ["8", "a.example.org."], ["1", "b.example.org."],
    ]  # fmt: skip
