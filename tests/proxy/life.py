"""A proxy as a process of its own in the lab's node, and an API server of a few lines for it.

The kernel tests of faults, restarts and modes start it, kill it and change what it left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.cluster.parts.proxy import ProxySettings, build, clean
from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.config import configuration
from sampan.std.httpd import Server, listener, serve
from sampan.testing.api import FakeApi

NODE = "rp-node"
VIP, VIP6 = "10.96.0.1", "fd00:10:96::1"
IPS = {"b1": "10.244.1.11", "b2": "10.244.1.12", "b3": "10.244.1.13", "r1": "10.244.2.11"}
IPS6 = {name: ip.replace("10.244.", "fd00:10:244:").replace(".", "::") for name, ip in IPS.items()}
REPO = Path(__file__).parents[2]
MACHINE: Json = {
    "metadata": {"name": "n1"},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "192.168.77.1"},
            {"type": "InternalIP", "address": "fd00:77::1"},
        ]
    },
}


class Api:
    """A FakeApi behind HTTP at the node's loopback; it can go away and come back."""

    def __init__(self, lab: ModuleType) -> None:
        self.fake = FakeApi()
        self.port = 0
        self._lab = lab
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        node = {"type": "InternalIP", "address": "192.168.77.1"}
        node6 = {"type": "InternalIP", "address": "fd00:77::1"}
        self.put(
            (kinds.NODES, {"metadata": {"name": "n1"}, "status": {"addresses": [node, node6]}})
        )
        self.start()

    def put(self, *objects: tuple[Any, Json]) -> None:
        """Change objects, all in one turn of the server's loop."""

        async def change() -> None:
            for rid, obj in objects:
                self.fake.put(rid, obj)

        self._do(change())

    def drop(self, rid: Any, name: str) -> None:
        async def change() -> None:
            self.fake.drop(rid, name, "default")

        self._do(change())

    def start(self) -> None:
        async def begin() -> None:
            self._server = await serve(self.fake.request, sock=sock, name="api")

        with self._lab.inside(NODE):
            sock = listener("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        self._do(begin())

    def stop(self) -> None:
        """Gone: watches are cut, nobody answers."""

        async def end() -> None:
            self.fake.cut()
            if self._server is not None:
                await self._server.close(0)
                self._server = None

        self._do(end())

    def forget_history(self) -> None:
        """Every watch is told that its revision is gone (410)."""

        async def forget() -> None:
            self.fake.oldest = self.fake.revision + 1
            self.fake.cut()

        self._do(forget())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Running:
    """A proxy in the node's namespace, on an event loop in a thread of its own."""

    def __init__(self, lab: ModuleType, mode: str, cgroup: str = "", **config: Any) -> None:
        self.api = FakeApi()
        self.api.put(kinds.NODES, MACHINE)
        self._cgroup = cgroup
        self._lab = lab
        self._config = configuration(
            {
                "mode": mode,
                "clusterCIDR": "10.244.0.0/16",
                "conntrack": {"maxPerCore": 0},
                "healthzBindAddress": "",
                "metricsBindAddress": "",
            },
            config,
        )
        self._loop = asyncio.new_event_loop()
        self._up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._up.result(20)

    def put(self, *objects: tuple[Any, Json]) -> None:
        """Change objects, all in one turn of the proxy's loop."""

        def change() -> None:
            for rid, obj in objects:
                self.api.put(rid, obj)

        self._loop.call_soon_threadsafe(change)

    def clean(self) -> None:
        """Remove what it left in the kernel."""
        with self._lab.inside(NODE):
            kernel = real_kernel(self._config, self._cgroup)
            try:
                assert asyncio.run(clean(kernel)) == []
            finally:
                kernel.close()

    def put_in_force(self, *objects: tuple[Any, Json]) -> None:
        """Change objects, and wait until the kernel has been told."""
        begun = time.time()
        self.put(*objects)
        state = self.part.proxy.wellbeing
        until(lambda: not state.queued and state.updated > begun, 10, every_s=0.001)

    def drop(self, rid: Any, name: str) -> None:
        self._loop.call_soon_threadsafe(self.api.drop, rid, name, "default")

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
        # One that went on would repair its rules in the middle of the next test.
        assert not self._thread.is_alive(), "the proxy does not end"

    def _run(self) -> None:
        with self._lab.inside("rp-node"):
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._main())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _main(self) -> None:
        part = self.part = build(Client(self.api), ProxySettings("n1", self._config, self._cgroup))
        self._task = asyncio.ensure_future(part.run(lambda: self._up.set_result(None)))
        try:
            await self._task
        except asyncio.CancelledError:
            # As at the end of a process: whoever moves bytes for it goes along.
            helper = getattr(part.proxy.backend, "_helper", None)
            if helper is not None:
                await helper.close()
        except BaseException as error:
            if not self._up.done():
                self._up.set_exception(error)
            raise


class Process:
    """`sampan proxy` in the node's namespace."""

    def __init__(self, api: Api, mode: str, folder: Path, *flags: str) -> None:
        self.log = folder / f"proxy-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self._popen = subprocess.Popen(
                [
                    *("ip", "netns", "exec", NODE, sys.executable, "-m", "sampan", "proxy"),
                    f"--kubeconfig={_kubeconfig(folder, api.port)}",
                    f"--proxy-mode={mode}",
                    "--hostname-override=n1",
                    "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
                    "--conntrack-max-per-core=0",
                    *flags,
                ],
                stdin=subprocess.DEVNULL,
                stderr=log,
                cwd=REPO,
            )
        self.pid = self._popen.pid

    def said(self, words: str) -> int:
        """How many lines of its log hold these words."""
        return sum(words in line for line in self.log.read_text().splitlines())

    def started(self) -> Process:
        until(lambda: bool(self.said("in force")) or self._popen.poll() is not None, 30)
        assert self._popen.poll() is None, self.log.read_text()[-2000:]
        return self

    def kill(self) -> None:
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait(10)

    def stop(self) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            self._popen.wait(20)


class Talk:
    """One UDP flow: the same socket, again and again."""

    def __init__(self, lab: ModuleType, client: str, target: str, timeout: float = 0.03) -> None:
        self._lab = lab
        self._flow = lab.Flow(client, target, timeout=timeout)
        self._flow.connect()

    def ask(self) -> str:
        try:
            return str(self._flow.ask()[0])
        except OSError as error:
            return str(self._lab.why(error))

    def until(self, *wanted: str) -> float:
        return until(lambda: self.ask() in wanted)

    def until_nobody(self) -> float:
        return until(lambda: self.ask() not in ("b1", "b2", "b3"))

    def close(self) -> None:
        self._flow.close()


def cleanup(*flags: str) -> subprocess.CompletedProcess[str]:
    """`sampan proxy --cleanup` in the node's namespace."""
    return subprocess.run(
        ["ip", "netns", "exec", NODE, sys.executable, "-m", "sampan", "proxy", "--cleanup", *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPO,
    )


def sh(command: str) -> str:
    """Run a program in the node's namespace."""
    done = subprocess.run(
        ["ip", "netns", "exec", NODE, "sh", "-c", command],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def forget_flows() -> None:
    """What connection tracking remembers of earlier tests goes. A connection that was tried while
    there was no rule is remembered as one that nobody translates, for two minutes and for whoever
    has its port next: in nftables mode that one is refused.
    """
    sh("conntrack -F 2>/dev/null")


def movers() -> list[int]:
    """Moving processes of proxies' own, which may outlive them, in the node's namespace."""
    found = []
    for pid in sh(f"ip netns pids {NODE}").split():
        with contextlib.suppress(OSError):
            if b"userspace.mover\0lasting" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def until(true: Callable[[], bool], patience_s: float = 15, every_s: float = 0.005) -> float:
    """Seconds until something is true."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < patience_s, "it never came true"
        time.sleep(every_s)
    return time.monotonic() - begun


def service(*, protocol: str = "TCP", v6: bool = False, **spec: Any) -> tuple[Any, Json]:
    vip = VIP6 if v6 else VIP
    ports = [{"port": 80, "protocol": protocol, "nodePort": 30080}]
    whole = {"type": "NodePort", "clusterIP": vip, "clusterIPs": [vip], "ports": ports, **spec}
    return kinds.SERVICES, {"metadata": {"name": "web", "namespace": "default"}, "spec": whole}


def endpoints(
    *names: str, protocol: str = "TCP", v6: bool = False, leaving: Iterable[str] = ()
) -> tuple[Any, Json]:
    """A slice; those that are leaving still serve."""
    ips = IPS6 if v6 else IPS
    leave = {"ready": False, "serving": True, "terminating": True}
    stay = {"ready": True, "serving": True, "terminating": False}
    return kinds.ENDPOINTSLICES, {
        "metadata": {
            "name": "web-a",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv6" if v6 else "IPv4",
        "endpoints": [
            {"addresses": [ips[name]], "nodeName": "n1", "conditions": conditions}
            for some, conditions in ((names, stay), (tuple(leaving), leave))
            for name in some
        ],
        "ports": [{"name": "", "port": 8080, "protocol": protocol}],
    }


def asked(
    lab: ModuleType, target: str = f"tcp {VIP}:80", client: str = "pod", timeout: float = 0.4
) -> str:
    """Who answers, or the word for why nobody does."""
    flow = lab.Flow(client, target, timeout=timeout)
    try:
        name: str = flow.connect().ask()[0]
        return name
    except OSError as error:
        return str(lab.why(error))
    finally:
        flow.close()


def note(line: str) -> None:
    """Figures for docs/reliability.md, where somebody asks for them."""
    if path := os.environ.get("SAMPAN_FIGURES"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def _kubeconfig(folder: Path, port: int) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "users: [{name: u, user: {}}]\n"
    )
    os.chmod(path, 0o600)
    return path
