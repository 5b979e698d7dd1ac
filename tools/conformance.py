"""`make conformance`: replay what upstream answered against the parts of this tree, print a table.

    conformance.py [AREA ...] [--only GLOB] [--verbose]

Areas: api controllers scheduler kubectl dns proxy (needs root). Each gets servers of its own on
free loopback ports; nothing else is touched. The exit status is 0 only if all passed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "tests" / "recorded"
SAMPAN = Path(sys.executable).parent / "sampan"
TOKEN = "conformance-token"
RANGES = "10.96.0.0/12,fd00:10:96::/112"
TIMEOUT = "15"
"""Seconds a recorded state may take: a Job's first back-off alone takes ten."""
Outcome = tuple[int, dict[str, str]]
"""How many cases passed, and what differed in those that did not."""


@dataclass(frozen=True, slots=True)
class Result:
    area: str
    passed: int
    failed: tuple[str, ...]
    seconds: float


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Servers:
    """Parts of this tree in one temporary folder; ended with it."""

    def __init__(self, folder: Path, ranges: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.running: list[subprocess.Popen[bytes]] = []
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},recorder,1,"system:masters"\n')
        self.start(
            "apiserver", "--data-dir", str(folder / "data"), "--bind-address", "127.0.0.1",
            "--secure-port", str(self.port), "--service-cluster-ip-range", ranges,
            # No address of this machine: cluster DNS would take itself for the API server.
            "--advertise-address", "192.0.2.1",
            "--token-auth-file", str(tokens), "--enable-admission-plugins", "NodeRestriction",
        )  # fmt: skip
        self.wait()

    def start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen([str(SAMPAN), *words], stdout=log, stderr=log, cwd=self.folder)
            )

    def wait(self) -> None:
        import ssl

        trust = ssl._create_unverified_context()
        for _ in range(400):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.url}/readyz", context=trust).status == 200:
                    return
            time.sleep(0.025)
        raise SystemExit((self.folder / "apiserver.log").read_text() or "the API server is silent")

    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [
                {"name": "c", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}
            ],
            "users": [{"name": "c", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    def with_controllers(self) -> None:
        config, pki = str(self.kubeconfig()), self.folder / "data" / "pki"
        self.start(
            "controllers", "--kubeconfig", config, "--allocate-node-cidrs", "--cluster-cidr",
            "10.244.0.0/16", "--node-monitor-grace-period", "10s", "--root-ca-file",
            str(pki / "ca.crt"), "--cluster-signing-cert-file", str(pki / "ca.crt"),
            "--cluster-signing-key-file", str(pki / "ca.key"),
            "--service-account-private-key-file", str(pki / "sa.key"), "--leader-elect=false",
            "--secure-port", "0",
        )  # fmt: skip

    def with_scheduler(self) -> None:
        config = str(self.kubeconfig())
        self.start(
            "scheduler", "--kubeconfig", config, "--leader-elect=false", "--secure-port", "0"
        )

    def close(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def servers(ranges: str = RANGES) -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        made = Servers(Path(folder), ranges)
        try:
            yield made
        finally:
            made.close()


def replay(tool: Path, words: list[str], folder: Path, *, verbose: bool = False) -> Outcome:
    """Run a replay tool; how many passed, and what differed in those that did not."""
    summary = folder / "summary.json"
    done = subprocess.run(
        [sys.executable, str(tool), *words, "--json", str(summary)],
        stdout=None if verbose else subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tool.parent, check=False,
    )  # fmt: skip
    if not summary.exists():
        raise SystemExit(done.stdout or f"{tool.name} made no summary")
    found = json.loads(summary.read_text())
    cases = found.get("cases") or found.get("scenarios")
    if cases is None:  # the tools of proxy and dns list what failed
        failed = found["failed"] or {}
        return _count(found["passed"]), {n: _difference(found) for n, found in failed.items()}
    failed = {name: _difference(result) for name, result in cases.items() if not _passed(result)}
    return _count(found["passed"]), failed


def _count(passed: object) -> int:
    return len(passed) if isinstance(passed, list) else int(str(passed))


def _passed(result: object) -> bool:
    if isinstance(result, dict):
        return bool(result.get("passed"))
    return result in (True, "PASS", [], "")


def _difference(result: object) -> str:
    if isinstance(result, dict):
        return str(result.get("difference", result))
    return "\n".join(map(str, result)) if isinstance(result, list) else str(result)


def replay_cluster(made: Servers, cases: list[Path], *, only: str = "*", **how: Any) -> Outcome:
    """Cases of controllers, scheduler and kubectl, against servers that are up; `timeout` are the
    seconds that a state may take.
    """
    timeout = str(how.pop("timeout", TIMEOUT))
    words = [*map(str, cases), "--server", made.url, "--token", TOKEN, "--only", only]
    words += ["--timeout", timeout, "--kubectl", kubectl() or "kubectl"]
    return replay(RECORDED / "replay_cluster.py", words, made.folder, **how)


def kubectl() -> str:
    """The kubectl to use: $KUBECTL, else the one in PATH; empty where there is none."""
    return shutil.which(os.environ.get("KUBECTL") or "kubectl") or ""


def api(only: str, *, verbose: bool) -> Outcome:
    with servers("10.96.0.0/12") as made:
        words = ["run", "--server", made.url, "--token", TOKEN, "--insecure", "--only", only]
        return replay(RECORDED / "api" / "replay.py", words, made.folder, verbose=verbose)


def _cluster(area: str) -> Callable[..., Outcome]:
    def play(only: str, *, verbose: bool) -> Outcome:
        with servers() as made:
            made.with_controllers()
            made.with_scheduler()
            return replay_cluster(made, [RECORDED / area], only=only, verbose=verbose)

    return play


def dns(only: str, *, verbose: bool) -> Outcome:
    with servers() as made:
        words = ["replay", ".", "--server-cmd", f"{SAMPAN} dns -conf {{corefile}}"]
        words += ["--apiserver", made.url, "--token", TOKEN, "--only", only]
        return replay(RECORDED / "dns" / "replay.py", words, made.folder, verbose=verbose)


def proxy(only: str, *, verbose: bool) -> Outcome:
    """Rule by rule; packets are sent by the tests of the proxy."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        script = folder / "render"
        script.write_text(RENDER.format(sampan=SAMPAN))
        script.chmod(0o755)
        words = ["rules", "--render", f"{script} {{family}} {{case}} {{base}}", "--only", only]
        return replay(RECORDED / "proxy" / "replay.py", words, folder, verbose=verbose)


RENDER = """#!/bin/sh
config=
pods="--cluster-cidr 10.244.0.0/16,fd00:10:244::/56"
[ -e "$3/config.yaml" ] && config="--config $3/config.yaml"
# What a case says of its own stands.
[ -e "$3/config.yaml" ] && grep -q clusterCIDR "$3/config.yaml" && pods=
exec {sampan} proxy render --mode iptables --node n1 --family "$1" $config $pods \\
    -f "$2/objects.yaml"
"""


AREAS: dict[str, Callable[..., Outcome]] = {
    "api": api,
    "controllers": _cluster("controllers"),
    "scheduler": _cluster("scheduler"),
    "kubectl": _cluster("kubectl"),
    "dns": dns,
    "proxy": proxy,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", choices=[*AREAS, []], help="default: all")
    parser.add_argument("--only", default="*", help="cases whose name matches")
    parser.add_argument("--verbose", action="store_true", help="show what the tools print")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    results = []
    for area in args.areas or AREAS:
        if area == "kubectl" and not kubectl():
            print("kubectl: not run, no kubectl ($KUBECTL or PATH)")
            continue
        begun = time.monotonic()
        passed, failed = AREAS[area](args.only, verbose=args.verbose)
        results.append(Result(area, passed, tuple(failed), time.monotonic() - begun))
        row = results[-1]
        print(f"{area:<12} {passed:>4} passed {len(failed):>4} failed  {row.seconds:6.1f} s")
        for name in failed:
            print(f"    {name}")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
