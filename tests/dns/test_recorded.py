"""What upstream answered, asked again of `sampan dns`: every recorded case."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.linux.real import netns

RECORDED = Path(__file__).parent.parent / "recorded" / "dns"
TOKEN = "recorder"
NETWORK = (
    "link set lo up", "link add eth0 type bridge", "link set eth0 up",
    "addr add 198.51.100.7/24 dev eth0", "addr add fd00:77::7/64 dev eth0 nodad",
    "route add default via 198.51.100.1",
)  # fmt: skip
"""A machine with one address of its own, as the recording's had; nobody is at the gateway."""
LEFT_OUT = {
    "surface/plugins": "upstream's list of compiled-in plugins",
    "surface/version": "upstream's version banner",
}
"""Cases that are not compared, and why; they stand in docs/conformance.md too."""


@pytest.fixture(autouse=True)
def own_network(tmp_path: Path) -> Iterator[None]:
    """The cases name fixed ports: each test has a network namespace with a loopback of its own."""
    path = str(tmp_path / "netns")
    netns.create(path)
    try:
        with netns.inside(path):
            for words in NETWORK:
                subprocess.run(["ip", *words.split()], check=True)
            yield
    finally:
        netns.remove(path)


@contextmanager
def running(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def api_server(folder: Path) -> Iterator[str]:
    tokens, log = folder / "tokens.csv", folder / "log"
    tokens.write_text(f'{TOKEN},recorder,1,"system:masters"\n')
    words = [
        sys.executable, "-m", "sampan", "apiserver", "--data-dir", str(folder / "data"),
        "--bind-address", "127.0.0.1", "--secure-port", "0", "--token-auth-file", str(tokens),
        "--service-cluster-ip-range", "10.96.0.0/12,fd00:10:96::/112",
        "--advertise-address", "192.0.2.1",
    ]  # fmt: skip
    with running(words, log) as process:
        while not (found := re.search(r"serving .*port=(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        yield f"https://127.0.0.1:{found[1]}"


def failed(folder: Path, *words: str) -> dict[str, object]:
    """Replay; the cases that did not pass."""
    summary = folder / "summary.json"
    server = f"{sys.executable} -m sampan dns -conf {{corefile}}"
    done = subprocess.run(
        [sys.executable, "replay.py", "replay", ".", "--server-cmd", server, "--json",
         str(summary), *words],
        cwd=RECORDED, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert summary.exists(), done.stdout + done.stderr
    found = json.loads(summary.read_text())
    return {name: why for name, why in found["failed"].items() if name not in LEFT_OUT}


@pytest.mark.e2e
@pytest.mark.parametrize("part", ["corefiles/[a-r]*", "corefiles/[s-z]*", "surface/*"])
def test_recorded_cases_pass(part: str, tmp_path: Path) -> None:
    assert failed(tmp_path, "--only", part) == {}


@pytest.mark.e2e
@pytest.mark.parametrize("part", ["kubernetes/[a-h]*", "kubernetes/[i-z]*", "plugins/*"])
def test_recorded_cases_of_a_cluster_pass(part: str, tmp_path: Path) -> None:
    with api_server(tmp_path) as url:
        assert failed(tmp_path, "--only", part, "--apiserver", url, "--token", TOKEN) == {}


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("etcd") is None, reason="no etcd")
def test_recorded_cases_of_etcd_pass(tmp_path: Path) -> None:
    url = "http://127.0.0.1:23790"
    words = [
        "etcd", "--data-dir", str(tmp_path / "etcd"), "--listen-client-urls", url,
        "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:23800",
    ]  # fmt: skip
    with running(words, tmp_path / "etcd.log"):
        time.sleep(1)
        assert failed(tmp_path, "--only", "plugins/etcd*", "--etcd", url) == {}
