"""The API server goes, and comes back: what is known is answered all along, and pages say so."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.dns.clusters import namespace, service
from tests.dns.desk import answers
from tests.dns.test_processes import ask, free_port

pytestmark = pytest.mark.e2e
TOKEN = "outage"
KUBECONFIG = """apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""
COREFILE = """.:{port} {{
    errors
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{page}
    kubernetes cluster.local {{
        kubeconfig {folder}/kubeconfig
        startup_timeout 10s
        snapshot {folder}/snapshot
    }}
}}
"""


class Stage:
    """An API server and a DNS server, each of which can go and come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api, self.port, self.page, self.ready = (free_port() for _ in range(4))
        (folder / "tokens.csv").write_text(f'{TOKEN},outage,1,"system:masters"\n')
        (folder / "kubeconfig").write_text(KUBECONFIG.format(port=self.api, token=TOKEN))
        (folder / "Corefile").write_text(
            COREFILE.format(port=self.port, page=self.page, ready=self.ready, folder=folder)
        )
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start_api(self) -> None:
        words = [
            "apiserver", "--data-dir", str(self.folder / "data"), "--bind-address", "127.0.0.1",
            "--secure-port", str(self.api), "--token-auth-file", str(self.folder / "tokens.csv"),
            "--service-cluster-ip-range", "10.0.0.0/24",
        ]  # fmt: skip
        self._start("api", words, "serving ")

    def start_dns(self) -> None:
        self._start("dns", ["dns", "-conf", str(self.folder / "Corefile")], "Sampan-")

    def _start(self, name: str, words: list[str], said: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "sampan", *words], stdout=out, stderr=out
            )
        self.running[name] = process
        while said not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait(10)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.api}{path}", json.dumps(body).encode() if body else None,
            {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}, method=method,
        )  # fmt: skip
        context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(request, context=context) as response:
                return json.load(response)
        except urllib.error.HTTPError as bad:
            raise AssertionError(bad.read().decode()) from bad

    def put(self, obj: dict[str, Any], path: str) -> None:
        self.send("POST", path, {"apiVersion": "v1", **obj})

    def silent_s(self) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/metrics") as shown:
            found = re.search(
                r"^sampan_dns_kubernetes_unsynced_seconds (\S+)", shown.read().decode(), re.M
            )
        assert found
        return float(found[1])

    def is_ready(self) -> bool:
        try:
            return bool(
                urllib.request.urlopen(f"http://127.0.0.1:{self.ready}/ready").status == 200
            )
        except urllib.error.HTTPError:
            return False

    def found(self, name: str) -> list[str]:
        return [
            line.split()[-1] for line in answers(ask(self.port, f"{name}.demo.svc.cluster.local."))
        ]


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    made = Stage(folder)
    try:
        yield made
    finally:
        for name in list(made.running):
            made.kill(name)


def until(true: Callable[[], bool], *, within_s: float = 40) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def created(name: str, ip: str) -> dict[str, Any]:
    obj = service(name)
    del obj["metadata"]["resourceVersion"]
    obj["spec"] = {"clusterIP": ip, "ports": obj["spec"]["ports"]}
    return obj


def test_what_is_known_is_answered_while_the_api_server_is_away(tmp_path: Path) -> None:
    services = "/api/v1/namespaces/demo/services"
    with stage(tmp_path) as world:
        world.start_api()
        demo = namespace("demo")
        del demo["metadata"]["resourceVersion"]
        world.put(demo, "/api/v1/namespaces")
        world.put(created("web", "10.0.0.77"), services)
        world.start_dns()
        assert world.found("web") == ["10.0.0.77"]
        assert world.is_ready()
        until(lambda: (tmp_path / "snapshot").exists())
        assert world.silent_s() == 0

        world.kill("api")
        until(lambda: world.silent_s() > 0)
        assert world.found("web") == ["10.0.0.77"]
        assert world.found("nope") == []
        assert world.is_ready()

        # A new server, from what was written down.
        world.kill("dns")
        text = (tmp_path / "Corefile").read_text().replace("timeout 10s", "timeout 200ms")
        (tmp_path / "Corefile").write_text(text)
        world.start_dns()
        assert world.found("web") == ["10.0.0.77"]
        assert world.is_ready()
        until(lambda: world.silent_s() > 0)
        assert f"answering from {tmp_path}/snapshot until" in (tmp_path / "dns.log").read_text()

        # The API server is back: what was missed is there, what is gone goes.
        world.start_api()
        world.put(created("late", "10.0.0.78"), services)
        world.send("DELETE", f"{services}/web")
        until(lambda: world.found("late") == ["10.0.0.78"] and world.found("web") == [])
        until(lambda: world.silent_s() == 0)


def test_a_frozen_api_server_changes_nothing_and_a_thawed_one_is_followed(tmp_path: Path) -> None:
    services = "/api/v1/namespaces/default/services"
    with stage(tmp_path) as world:
        world.start_api()
        world.start_dns()
        name = "kubernetes.default.svc.cluster.local."
        before = answers(ask(world.port, name))
        assert before
        process = world.running["api"]
        os.kill(process.pid, 19)
        time.sleep(2)
        assert answers(ask(world.port, name)) == before
        os.kill(process.pid, 18)
        late = created("late", "10.0.0.79")
        late["metadata"]["namespace"] = "default"
        world.put(late, services)
        until(lambda: bool(answers(ask(world.port, "late.default.svc.cluster.local."))))


def test_a_killed_watching_half_is_made_anew_and_nothing_is_unknown_meanwhile(
    tmp_path: Path,
) -> None:
    with stage(tmp_path) as world:
        world.start_api()
        world.start_dns()
        name = "kubernetes.default.svc.cluster.local."
        before = answers(ask(world.port, name))
        dns = world.running["dns"].pid

        def children() -> list[int]:
            return [int(w) for w in Path(f"/proc/{dns}/task/{dns}/children").read_text().split()]

        for turn in range(3):
            until(lambda: bool(children()))
            (child,) = children()
            os.kill(child, 9)
            for _ in range(5):
                assert answers(ask(world.port, name)) == before
            late = created(f"late{turn}", f"10.0.0.{80 + turn}")
            late["metadata"]["namespace"] = "default"
            world.put(late, "/api/v1/namespaces/default/services")
            fresh = f"late{turn}.default.svc.cluster.local."
            until(lambda fresh=fresh: bool(answers(ask(world.port, fresh))))
            assert world.is_ready()
        world.send("DELETE", "/api/v1/namespaces/default/services/late0")
        until(lambda: not answers(ask(world.port, "late0.default.svc.cluster.local.")))
