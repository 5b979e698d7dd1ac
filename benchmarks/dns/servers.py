"""The servers: each with the same names, on a port of loopback, on one core."""

from __future__ import annotations

import contextlib
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
API_PORT, FIRST_PORT = 5599, 5500
LOOPS = ("native", "mmsg", "plain")
KUBERNETES = """.:{port} {{
    errors
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{metrics}
    {more}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint http://127.0.0.1:5599
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    loadbalance
}}
"""
CHAIN = """rewrite name exact never.example.org cluster.local
    template IN A never.example.org {
        rcode NXDOMAIN
    }"""
FORWARD = """.:{port} {{
    errors
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.1:{origin}
    cache 3600
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
  - domain: outside.example.net
    file: {folder}/outside
    zonefile-sync: -1
"""
UNBOUND = """server:
    num-threads: 1
    interface: 127.0.0.1@{port}
    chroot: ""
    username: ""
    pidfile: ""
    do-daemonize: no
    do-not-query-localhost: no
    module-config: iterator
    use-syslog: no
    directory: {folder}
"""
AS_AUTHORITY = """auth-zone:
    name: cluster.local
    zonefile: {folder}/zone
    for-downstream: yes
    for-upstream: no
"""
AS_CACHE = """forward-zone:
    name: .
    forward-addr: 127.0.0.1@{origin}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """How to start one; `program` finds its processes."""

    name: str
    command: tuple[str, ...]
    port: int
    ready: int = 0
    """A port of HTTP that says when the server has everything."""


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    port: int
    pid: int
    ready_s: float

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
    """Nanoseconds of the scheduler where they are told, else ticks."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        times = (Path(f"/proc/{pid}/task/{task}/schedstat").read_text() for task in tasks)
        return sum(int(text.split()[0]) for text in times) / 1e9
    except OSError:
        return 0.0


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def zones(folder: Path, services: int) -> None:
    """The same names for the peers, as zone files."""
    head = ["$TTL 30", "@ IN SOA ns hostmaster 1 7200 1800 86400 5", "@ IN NS ns"]
    lines = ["$ORIGIN cluster.local.", *head, "ns IN A 127.0.0.1"]
    lines += (f"svc-{i}.bench.svc IN A 10.96.{i >> 8}.{i & 255}" for i in range(1, services))
    (folder / "zone").write_text("\n".join(lines) + "\n")
    lines = ["$ORIGIN outside.example.net.", "$TTL 86400", *head[1:], "ns IN A 127.0.0.1"]
    lines += (f"host-{i} IN A 10.7.{i >> 8}.{i & 255}" for i in range(1000))
    (folder / "outside").write_text("\n".join(lines) + "\n")
    (folder / "knot").mkdir(exist_ok=True)


class Commands:
    """Gives every server ports and a configuration of its own."""

    def __init__(self, folder: Path, coredns: str) -> None:
        self.folder = folder
        self.coredns = coredns
        self.port = FIRST_PORT

    def _corefile(self, name: str, text: str, **words: object) -> tuple[Path, int]:
        self.port += 1
        path = self.folder / f"Corefile.{name.replace(' ', '-')}-{self.port}"
        words |= {"port": self.port, "ready": self.port + 100, "metrics": self.port + 200}
        path.write_text(text.format(**words))
        return path, self.port

    def sampan(self, loop: str, text: str, **words: object) -> Server:
        path, port = self._corefile(loop, text, **words)
        command = (sys.executable, "-m", "sampan", "dns", "-conf", str(path), "-receive", loop)
        return Server(f"sampan {loop}", command, port, port + 100)

    def core(self, text: str, **words: object) -> list[Server]:
        """CoreDNS where a path to it is given."""
        if not self.coredns:
            return []
        path, port = self._corefile("coredns", text, **words)
        return [Server("coredns", (self.coredns, "-conf", str(path)), port, port + 100)]

    def knot(self) -> list[Server]:
        return self._peer("knot", "knotd", KNOT, ("-c",))

    def floors(self) -> list[Server]:
        """Echoes without any DNS: what receiving and sending cost by themselves."""
        ways = ["ctypes", *(["native"] if shutil.which("cc") or shutil.which("gcc") else [])]
        found = []
        for way in ways:
            self.port += 1
            command = (sys.executable, "-m", "benchmarks.dns.floor", str(self.port), way)
            found.append(Server(f"no DNS, {way}", command, self.port))
        return found

    def unbound(self, more: str, **words: object) -> list[Server]:
        return self._peer("unbound", "unbound", UNBOUND + more, ("-d", "-c"), **words)

    def _peer(
        self, name: str, binary: str, text: str, options: tuple[str, ...], **words: object
    ) -> list[Server]:
        program = shutil.which(binary) or shutil.which(f"/usr/sbin/{binary}")
        if not program:
            return []
        self.port += 1
        path = self.folder / f"{name}-{self.port}.conf"
        path.write_text(text.format(folder=self.folder, port=self.port, **words))
        return [Server(name, (program, *options, str(path)), self.port)]


@contextmanager
def started(server: Server, core: int, query: bytes) -> Iterator[Running]:
    """Running on one core, and answering this query."""
    pin: Callable[[], None] = lambda: os.sched_setaffinity(0, {core})  # noqa: E731
    environment = {**os.environ, "GOMAXPROCS": "1"}
    began = time.monotonic()
    process = subprocess.Popen(
        server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pin,
        env=environment,
    )  # fmt: skip
    try:
        _wait(server, process, query)
        yield Running(server.name, server.port, process.pid, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes], query: bytes) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"{server.name} ended with {process.returncode}")
        if _is_ready(server.ready) and _answers(server.port, query):
            return
        time.sleep(0.02)
    raise SystemExit(f"{server.name} does not answer")


def _is_ready(port: int) -> bool:
    if not port:
        return True
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"GET /ready HTTP/1.0\r\nhost: x\r\n\r\n")
            return b" 200 " in sock.recv(200)
    except OSError:
        return False


def _answers(port: int, query: bytes) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.sendto(query, ("127.0.0.1", port))
        try:
            return sock.recv(4096)[7] >= 1
        except OSError:
            return False
