"""A real etcd, alone or guarded: the server of Debian's etcd-server, filled with its etcdctl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Etcd:
    """One server with its data in a folder: it can go and come back."""

    def __init__(self, folder: Path, url: str, peer: str, *, tls: Path | None = None) -> None:
        if shutil.which("etcd") is None or shutil.which("etcdctl") is None:
            pytest.skip("no etcd; tools/prepare test installs it")
        self.folder, self.url, self.peer, self.tls = folder, url, peer, tls
        self.user = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [
            "etcd", "--data-dir", str(self.folder / "data"), "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer,
            "--initial-advertise-peer-urls", self.peer, "--initial-cluster", f"default={self.peer}",
            "--logger", "zap",
        ]  # fmt: skip
        if self.tls:
            words += [
                "--cert-file", str(self.tls / "server.crt"), "--key-file",
                str(self.tls / "server.key"), "--trusted-ca-file", str(self.tls / "ca.crt"),
                "--client-cert-auth",
            ]  # fmt: skip
        with (self.folder / "etcd.log").open("a") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        for _ in range(200):
            if self.ctl("endpoint", "health", check=False).returncode == 0:
                return
            assert self.process.poll() is None, (self.folder / "etcd.log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.folder / "etcd.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def ctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        flags = ["--endpoints", self.url, "--command-timeout=2s", "--dial-timeout=1s"]
        if self.tls:
            flags += [
                "--cacert", str(self.tls / "ca.crt"), "--cert", str(self.tls / "client.crt"),
                "--key", str(self.tls / "client.key"),
            ]  # fmt: skip
        if self.user:
            flags += ["--user", self.user]
        done = subprocess.run(
            ["etcdctl", *flags, *words], capture_output=True, text=True, check=False,
            env={**os.environ, "ETCDCTL_API": "3"},
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def put(self, key: str, value: dict[str, Any] | str, *flags: str) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        assert self.ctl("put", *flags, key, text).stdout.strip() == "OK"


@contextmanager
def running(etcd: Etcd) -> Iterator[Etcd]:
    etcd.start()
    try:
        yield etcd
    finally:
        etcd.stop()
