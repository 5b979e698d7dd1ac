"""The servers: each with the same names, on one port of loopback, on one core."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PORTS = {"sampan native": 5500, "sampan mmsg": 5501, "sampan plain": 5502, "knot": 5503, "unbound": 5504, "coredns": 5505}
COREFILE = """.:{port} {{
    errors
    ready 127.0.0.1:{ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint http://127.0.0.1:1
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
        snapshot {folder}/snapshot
        startup_timeout 1ms
    }}
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.9
    cache 30 {{
        disable success cluster.local
        disable denial cluster.local
    }}
    loadbalance
}}
"""
KNOT = """server:
    rundir: {folder}/knot
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}/knot
zone:
  - domain: cluster.local
    file: {folder}/zone
    zonefile-sync: -1
"""
UNBOUND = """server:
    num-threads: 1
    interface: 127.0.0.1@{port}
    chroot: ""
    username: ""
    pidfile: ""
    do-daemonize: no
    use-syslog: no
    directory: {folder}
auth-zone:
    name: cluster.local
    zonefile: {folder}/zone
    for-downstream: yes
    for-upstream: no
"""


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """Seconds that the process and its children have computed."""
        return sum(_cpu_s(pid) for pid in _family(self.pid))

    def memory_mb(self) -> float:
        """What the process and its children hold, shared pages by their share."""
        return sum(_pss_kb(pid) for pid in _family(self.pid)) / 1024


def _family(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):
        for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += _family(int(text))
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def prepare(folder: Path, services: int) -> None:
    """The names: as a snapshot of a cluster, and as a zone file."""
    rows: list[object] = [["n", ["bench"]]]
    lines = ["$ORIGIN cluster.local.", "$TTL 30"]
    lines += ["@ IN SOA ns.dns hostmaster 1 7200 1800 86400 5", "@ IN NS ns.dns"]
    lines.append("ns.dns IN A 127.0.0.1")
    for i in range(services):
        ip = f"10.{96 + i // 65536}.{i // 256 % 256}.{i % 256}"
        port = ["http", "tcp", 80]
        rows.append(["s", ["bench", f"svc-{i}", "ClusterIP", [ip], [port], "", []]])
        lines.append(f"svc-{i}.bench.svc IN A {ip}")
    (folder / "snapshot").write_text(json.dumps([1, rows]))
    (folder / "zone").write_text("\n".join(lines) + "\n")
    (folder / "knot").mkdir(exist_ok=True)


def commands(folder: Path) -> dict[str, list[str]]:
    """How to start those that this machine has."""
    found: dict[str, list[str]] = {}
    for name, receive in (("sampan native", "native"), ("sampan mmsg", "mmsg"), ("sampan plain", "plain")):
        port = PORTS[name]
        path = folder / f"Corefile.{receive}"
        path.write_text(
            COREFILE.format(port=port, folder=folder, ready=port + 100, metrics=port + 200)
        )
        found[name] = [
            sys.executable, "-m", "sampan", "dns", "-conf", str(path), "-receive", receive,
        ]  # fmt: skip
    for name, binary, text, option in (
        ("knot", "knotd", KNOT, "-c"),
        ("unbound", "unbound", UNBOUND, "-c"),
    ):
        if program := shutil.which(binary) or shutil.which(f"/usr/sbin/{binary}"):
            path = folder / f"{binary}.conf"
            path.write_text(text.format(folder=folder, port=PORTS[name]))
            found[name] = [program, *(["-d"] if name == "unbound" else []), option, str(path)]
    return found


@contextmanager
def started(name: str, command: list[str], cores: set[int]) -> Iterator[Running]:
    """Running, pinned, and answering."""
    pin: Callable[[], None] = lambda: os.sched_setaffinity(0, cores)  # noqa: E731
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pin
    )
    try:
        _wait(PORTS[name], process)
        yield Running(name, PORTS[name], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    from benchmarks.dns.load import _query

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            sock.sendto(_query(1, "svc-0.bench.svc.cluster.local.", 1), ("127.0.0.1", port))
            try:
                if sock.recv(4096)[7] == 1:
                    return
            except OSError:
                time.sleep(0.05)
    raise SystemExit("the server does not answer")
