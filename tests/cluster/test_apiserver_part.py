"""`sampan apiserver` as a process: flags, files, a second one beside it, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.cluster.parts.apiserver_flags import BadFlag, Flags, port_range, service_ranges
from sampan.cluster.pki import Subject, authority, client_pair, serving_pair


def command(folder: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "sampan", "apiserver", "--data-dir", str(folder / "data"),
        "--bind-address", "127.0.0.1", "--secure-port", "0", *more,
    ]  # fmt: skip


@contextmanager
def running(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command(folder, *more), stderr=out)
    try:
        while not (found := re.search(r"serving .*port=(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str, folder: Path, **headers: str) -> bytes:
    """With the server's certificate checked against its own CA."""
    context = ssl.create_default_context(cafile=str(folder / "data/pki/ca.crt"))
    asked = urllib.request.Request(f"https://localhost:{port}{path}", headers=headers)
    with urllib.request.urlopen(asked, context=context, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def test_it_serves_keeps_its_objects_and_ends_at_once(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('t,admin,1,"system:masters"\n')
    flags = ("--token-auth-file", str(tokens))
    with running(tmp_path, *flags) as (process, port):
        assert get(port, "/readyz", tmp_path) == b"ok"
        listed = json.loads(get(port, "/api/v1/namespaces", tmp_path, authorization="Bearer t"))
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert time.monotonic() - begun < 2
    names = [item["metadata"]["name"] for item in listed["items"]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    with running(tmp_path, *flags) as (process, port):
        again = json.loads(get(port, "/api/v1/namespaces", tmp_path, authorization="Bearer t"))
    assert again["items"] == listed["items"]


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    for name in ("ca.key", "sa.key", "apiserver.key"):
        mode = stat.S_IMODE(os.stat(tmp_path / "data/pki" / name).st_mode)
        assert mode == 0o600, name


def test_a_second_server_on_the_same_store_says_so_and_ends(tmp_path: Path) -> None:
    with running(tmp_path):
        second = subprocess.run(
            command(tmp_path), capture_output=True, text=True, timeout=20, check=False
        )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert second.stderr.startswith("sampan apiserver: ")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--service-cluster-ip-range", "10.0.0.0/33"), "--service-cluster-ip-range"),
        (("--token-auth-file", "/nowhere"), "--token-auth-file: /nowhere"),
        (("--service-node-port-range", "9-1"), "--service-node-port-range"),
        (("--enable-admission-plugins", "Nope"), "unknown admission plugin 'Nope'"),
        (("--authorization-mode", "ABAC"), "--authorization-mode: 'ABAC' is not served"),
        (("--authorization-mode", "RBAC,RBAC"), "--authorization-mode: each mode once"),
        (("--authorization-config", "f"), "--authorization-config: only --authorization-mode"),
        (("--nope",), "unknown flag: --nope"),
        (("--advertise-address", "0.0.0.0"), "--advertise-address"),
        (("--service-account-key-file", "/nowhere"), "/nowhere: No such file"),
        (("--tls-min-version", "VersionTLS10"), "--tls-min-version"),
        (("--tls-cert-file", "/nowhere"), "go together"),
        (("--client-ca-file", "/nowhere"), "--client-ca-file: /nowhere: No such file"),
    ],
)
def test_a_flag_that_cannot_be_is_one_line(
    tmp_path: Path, flags: tuple[str, ...], says: str
) -> None:
    done = subprocess.run(
        command(tmp_path, *flags), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_ranges_are_one_for_each_family() -> None:
    assert service_ranges("10.96.0.0/12,fd00::/112") == ("10.96.0.0/12", "fd00::/112")
    with pytest.raises(BadFlag):
        service_ranges("10.96.0.0/12,10.0.0.0/24")
    assert port_range("30000-32767") == (30000, 32767)


def test_a_serving_certificate_is_made_anew_for_new_names(tmp_path: Path) -> None:
    first = serving_pair(tmp_path, "s", ["a", "127.0.0.1"])[0].read_bytes()
    assert serving_pair(tmp_path, "s", ["a"])[0].read_bytes() == first
    assert serving_pair(tmp_path, "s", ["a", "b"])[0].read_bytes() != first


def test_the_ca_and_client_certificates_are_kept(tmp_path: Path) -> None:
    assert authority(tmp_path).pem == authority(tmp_path).pem
    subject = Subject("me", ("g",))
    assert client_pair(tmp_path, "c", subject)[0].read_bytes() == (tmp_path / "c.crt").read_bytes()


def test_the_defaults_are_upstreams() -> None:
    flags = Flags(Path("d"))
    assert (flags.secure_port, flags.insecure_port) == (6443, 0)
    assert flags.service_cluster_ip_range == "10.96.0.0/12"
