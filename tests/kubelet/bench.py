"""A whole kubelet over fakes: an API server in memory, a runtime in memory, time that jumps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json, Key
from sampan.client.client import Client
from sampan.kubelet.assemble import Parts, assemble, fetch_url
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network import Attachment, HostPort
from sampan.kubelet.offload import in_place
from sampan.kubelet.settings import Dns, KubeletSettings
from sampan.kubelet.sources import Fetch
from sampan.linux.fake.machine import FakeMachine
from sampan.linux.fake.mounts import FakeMounts
from sampan.linux.fake.processes import FakeRuntime
from sampan.testing.api import FakeApi
from sampan.testing.clock import JumpingClock


class FakeNetwork:
    """Hands out addresses in turn, and remembers them."""

    def __init__(self) -> None:
        self.attached: dict[str, tuple[str, ...]] = {}
        self.failures: list[Exception] = []
        self.stuck = False
        self.ports: dict[str, tuple[HostPort, ...]] = {}
        self._numbers = itertools.count(2)

    async def attach(self, sandbox: str, netns: str, pod: Key) -> tuple[str, ...]:
        if self.failures:
            raise self.failures.pop(0)
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        if sandbox not in self.attached:
            self.attached[sandbox] = (f"10.244.0.{next(self._numbers)}",)
        return self.attached[sandbox]

    async def detach(self, sandbox: str, netns: str) -> None:
        self.attached.pop(sandbox, None)

    async def publish(self, sandbox: str, ips: tuple[str, ...], wanted: Attachment) -> None:
        self.ports[sandbox] = wanted.host_ports

    async def withdraw(self, sandbox: str) -> None:
        self.ports.pop(sandbox, None)


class Bench:
    """What a test holds in its hands."""

    def __init__(self, folder: Path, *, fetch: Fetch = fetch_url, **more: Any) -> None:
        self.api = FakeApi()
        self.fetch = fetch
        self.clock = JumpingClock()
        self.runtime = FakeRuntime(self.clock)
        self.network = FakeNetwork()
        self.settings = KubeletSettings(
            node_name="n1",
            root_dir=str(folder / "root"),
            run_dir=str(folder / "run"),
            cgroup="sampan/c/n1",
            node_ips=("192.168.0.1",),
            dns=Dns(("10.96.0.10",), "cluster.local", ""),
            **more,
        )
        self.mounts = FakeMounts()
        self.kubelet = self.make()

    def make(self) -> Kubelet:
        machine = FakeMachine()
        parts = Parts(
            self.runtime, machine, self.mounts, self.network, self.network,
            offload=in_place, fetch=self.fetch,
        )  # fmt: skip
        return assemble(Client(self.api), self.settings, parts, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        started = asyncio.Event()
        task = asyncio.create_task(self.kubelet.run(started.set))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            if task.done():
                await task
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    def pod(self, name: str = "p", *containers: Json, **spec: Any) -> Json:
        meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1}
        return self.api.put(
            kinds.PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": meta,
                "spec": {
                    "nodeName": "n1",
                    "containers": list(containers) or [app()],
                    **spec,
                },
                "status": {"phase": "Pending"},
            },
        )

    def get(self, name: str = "p") -> Json:
        return self.api.objects[("", "v1", "pods")][Key("default", name)]

    def exists(self, name: str = "p") -> bool:
        return Key("default", name) in self.api.objects.get(("", "v1", "pods"), {})

    def status(self, name: str = "p") -> Json:
        status: Json = self.get(name).get("status") or {}
        return status

    def container(self, name: str = "p", index: int = 0) -> Json:
        status: Json = self.status(name)["containerStatuses"][index]
        return status

    def waiting(self, name: str = "p") -> str:
        reason: str = self.container(name)["state"]["waiting"]["reason"]
        return reason

    def condition(self, kind: str, name: str = "p") -> str:
        conditions = {c["type"]: c["status"] for c in self.status(name).get("conditions", [])}
        return conditions.get(kind, "")

    def running_id(self, container: str = "c") -> str:
        return next(
            state.spec.id
            for state in self.runtime.containers.values()
            if state.exit is None and state.spec.labels["io.kubernetes.container.name"] == container
        )

    def events(self) -> list[str]:
        return [f"{e['reason']}: {e['message']}" for e in self.api.all(kinds.EVENTS)]

    def mark_deleted(self, name: str = "p", grace: int = 30) -> None:
        pod = self.get(name)
        meta = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:30Z",
                "deletionGracePeriodSeconds": grace}  # fmt: skip
        self.api.put(kinds.PODS, {**pod, "metadata": meta})


def app(name: str = "c", *command: str, **more: Any) -> Json:
    words = list(command) or ["serve"]
    return {"name": name, "image": "localhost/host", "imagePullPolicy": "IfNotPresent",
            "command": words, **more}  # fmt: skip


async def until(what: Callable[[], object], limit_s: float = 2000) -> None:
    """Let (jumping) time pass until it is so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        try:
            if what():
                return
        except (KeyError, IndexError, StopIteration):
            pass
        if loop.time() > end:
            raise AssertionError(f"never came true within {limit_s} s")
        await asyncio.sleep(0.05)
