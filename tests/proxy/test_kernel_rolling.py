"""Endpoints and proxies that are restarted while clients connect without a pause."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from sampan.linux.base.conntrack import Flow
from sampan.linux.real.conntrack import RealConntrack
from tests.proxy.life import (
    IPS,
    VIP,
    Api,
    Process,
    Running,
    Talk,
    asked,
    endpoints,
    note,
    service,
    until,
)

pytestmark = pytest.mark.kernel
MODES = ("nftables", "iptables", "ebpf", "userspace")
Start = Callable[..., Process]
PORT = 8765
"""Where the pods listen."""


class Pods:
    """Pods that are started and stopped: TCP and UDP, each says its name."""

    def __init__(self, lab: ModuleType) -> None:
        self._lab = lab
        self._poll = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._over = False
        self._open: dict[str, list[socket.socket]] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def start(self, name: str) -> None:
        namespace, ip, _, _ = self._lab.SERVERS[name]
        made = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self._lab.inside(namespace):
                sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(sock, ip)
            if kind == socket.SOCK_STREAM:
                sock.listen(128)
            sock.setblocking(False)
            made.append(sock)
        with self._lock:
            self._open[name] = made
            for sock in made:
                self._poll.register(sock, selectors.EVENT_READ, name)

    def stop(self, name: str) -> None:
        """Whoever got through is still served; then nobody listens."""
        with self._lock:
            for sock in self._open.pop(name):
                self._ready(sock, name)
                self._poll.unregister(sock)
                sock.close()

    def close(self) -> None:
        for name in list(self._open):
            self.stop(name)
        self._over = True
        self._thread.join(5)
        for key in list(self._poll.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._poll.close()

    def _serve(self) -> None:
        while not self._over:
            for key, _ in self._poll.select(0.05):
                with self._lock, contextlib.suppress(ValueError, OSError):
                    if key.fileobj.fileno() >= 0:  # type: ignore[union-attr]
                        self._ready(key.fileobj, key.data)  # type: ignore[arg-type]

    def _ready(self, sock: socket.socket, name: str) -> None:
        """Answer everything that waits at a socket."""
        with contextlib.suppress(BlockingIOError):
            while sock.type == socket.SOCK_DGRAM:
                _, peer = sock.recvfrom(100)
                sock.sendto(f"{name} {peer[0]}".encode(), peer)
            while sock in self._open.get(name, ()) or sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                connection, _ = sock.accept()
                connection.setblocking(False)
                self._poll.register(connection, selectors.EVENT_READ, name)
            if sock.recv(100):
                sock.send(f"{name} {sock.getpeername()[0]}".encode())
            else:
                self._poll.unregister(sock)
                sock.close()


def _bind(sock: socket.socket, ip: str) -> None:
    """A child that is being started holds this process' sockets for a moment longer."""
    for _ in range(1000):
        try:
            sock.bind((ip, PORT))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(0.001)
    raise TimeoutError(f"{ip}:{PORT} stays taken")


@pytest.fixture
def pods(lab: ModuleType) -> Iterator[Pods]:
    made = Pods(lab)
    yield made
    made.close()


class Load:
    """Clients that connect again and again; `failures` is what went wrong."""

    def __init__(self, lab: ModuleType, *targets: str) -> None:
        self.failures: list[str] = []
        self.count = 0
        self._lab = lab
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in targets]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, target: str) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            name = self._asked(target)
            # The proxy shares this process: it must get its turn.
            time.sleep(0.002)
            self.count += 1
            if name not in ("b1", "b2", "b3"):
                self.failures.append(f"{target}: {name} after {time.monotonic() - begun:.3f} s")

    def _asked(self, target: str) -> str:
        """A datagram whose answer was lost in the middle of a change is sent again, as a resolver
        would; a connection is tried once.
        """
        if target.startswith("tcp"):
            return asked(self._lab, target, timeout=5)
        talk = Talk(self._lab, "pod", target, timeout=0.25)
        try:
            answers = (talk.ask() for _ in range(20))
            return next((name for name in answers if name != "timeout"), "timeout")
        finally:
            talk.close()


ROUNDS = {
    "nftables": 1000,
    "iptables": 60,
    "ebpf": 200,
    "userspace": 200,
}


def both(*names: str, leaving: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """A slice of pods that serve TCP and UDP."""
    rid, obj = endpoints(*names, leaving=leaving)
    ports = [{"name": f"p-{word}", "port": PORT, "protocol": word} for word in ("TCP", "UDP")]
    return rid, {**obj, "ports": ports}


def leading_to(flows: RealConntrack, ip: str) -> list[Flow]:
    found = flows.flows(4, destination=VIP, port=80)
    return [flow for flow in found if flow.answering == ip]


@pytest.mark.parametrize("mode", MODES)
def test_restarts_of_endpoints_cost_no_new_connection(
    mode: str, lab: ModuleType, pods: Pods, run: Callable[[str], Running]
) -> None:
    names = ("b1", "b2", "b3")
    for name in names:
        pods.start(name)
    ports = [
        {"name": f"p-{word}", "port": 80, "protocol": word, "nodePort": 30080}
        for word in ("TCP", "UDP")
    ]
    proxy = run(mode)
    proxy.put(service(ports=ports), both(*names))
    proxy.start()
    with lab.inside("rp-node"):
        flows = RealConntrack()
    targets = (f"tcp {VIP}:80", f"udp {VIP}:80", "tcp 192.168.77.1:30080")
    with Load(lab, *targets) as load:
        for turn in range(ROUNDS[mode]):
            victim = names[turn % 3]
            others = tuple(name for name in names if name != victim)
            # As a rolling update: it drains, it is gone from the slice, it ends, it is back.
            proxy.put_in_force(both(*others, leaving=(victim,)))
            proxy.put_in_force(both(*others))
            # A pod's last moments are long enough for this.
            until(lambda ip=IPS[victim]: not leading_to(flows, ip))  # type: ignore[misc]
            pods.stop(victim)
            pods.start(victim)
            proxy.put_in_force(both(*names))
    note(f"{mode}: {ROUNDS[mode]} restarts, {load.count} connections, {len(load.failures)} failed")
    flows.close()
    assert load.failures == []
    assert load.count > ROUNDS[mode] / 10


@pytest.mark.parametrize("mode", MODES)
def test_no_connection_fails_while_the_proxy_is_killed_and_restarted(
    mode: str, lab: ModuleType, api: Api, start: Start
) -> None:
    api.put(service(), endpoints("b1", "b2"))
    proxy = start(mode)
    with Load(lab, f"tcp {VIP}:80", "tcp 192.168.77.1:30080") as load:
        for end in (Process.kill, Process.stop, Process.kill):
            end(proxy)
            time.sleep(0.2)
            proxy = start(mode)
            time.sleep(0.2)
    note(f"{mode}: 3 restarts, {load.count} connections, {len(load.failures)} failed")
    assert load.failures == []
    assert proxy.said("repairing") == 0
