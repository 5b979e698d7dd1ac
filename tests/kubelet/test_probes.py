"""Probes: how containers are asked, and what the answers do to a pod."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.kubelet.probes import grpc
from sampan.kubelet.probes.asking import Answer, Target, ask, port_number
from sampan.linux.base.processes import Container, Sandbox
from sampan.linux.fake.processes import FakeRuntime
from sampan.std.clock import SystemClock
from tests.kubelet.bench import app, until
from tests.kubelet.test_pod_life import play

EXEC_GOOD = {"exec": {"command": ["good"]}}


def probe(**more: Any) -> Json:
    return {**EXEC_GOOD, "periodSeconds": 10, "failureThreshold": 2, **more}


def test_readiness_follows_its_probe(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 1
        bench.pod("p", app(readinessProbe=probe()))
        await until(lambda: bench.status()["phase"] == "Running")
        await asyncio.sleep(30)
        assert bench.condition("Ready") == "False"
        assert bench.container()["started"]
        bench.runtime.exec_codes[("good",)] = 0
        await until(lambda: bench.condition("Ready") == "True")
        bench.runtime.exec_codes[("good",)] = 1
        await until(lambda: bench.condition("Ready") == "False")
        assert bench.container()["restartCount"] == 0

    bench = play(tmp_path, story)
    assert any(event.startswith("Unhealthy: Readiness probe failed: ") for event in bench.events())


def test_readiness_is_asked_and_told_while_the_container_ends(tmp_path: Path) -> None:
    """Who still has a connection to it must learn that it drains no more."""

    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 0
        bench.pod("p", app("c", "sleep", "1000", readinessProbe=probe(periodSeconds=1)))
        await until(lambda: bench.condition("Ready") == "True")
        worker = next(iter(bench.kubelet.workers.values()))
        bench.mark_deleted(grace=30)
        await asyncio.sleep(1)
        assert worker.saying.status["containerStatuses"][0]["ready"]
        bench.runtime.exec_codes[("good",)] = 1
        begun = bench.clock.monotonic()
        await until(lambda: not worker.saying.status["containerStatuses"][0]["ready"])
        assert bench.clock.monotonic() - begun < 4
        assert worker.stopping

    play(tmp_path, story)


def test_a_ready_container_is_ready_at_once(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 0
        bench.pod("p", app(readinessProbe=probe(periodSeconds=60)))
        begun = bench.clock.monotonic()
        await until(lambda: bench.condition("Ready") == "True")
        assert bench.clock.monotonic() - begun < 1

    play(tmp_path, story)


def test_what_needs_a_moment_to_come_up_does_not_wait_a_whole_period(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 1
        bench.pod("p", app(readinessProbe=probe(periodSeconds=60)))
        await until(lambda: bench.status()["phase"] == "Running")
        begun = bench.clock.monotonic()
        await asyncio.sleep(0.15)
        bench.runtime.exec_codes[("good",)] = 0
        await until(lambda: bench.condition("Ready") == "True")
        assert bench.clock.monotonic() - begun < 1

    bench = play(tmp_path, story)
    assert not any(event.startswith("Unhealthy") for event in bench.events())


def test_a_failed_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 0
        bench.pod("p", app(livenessProbe=probe()))
        await until(lambda: bench.condition("Ready") == "True")
        bench.runtime.exec_codes[("good",)] = 1
        await until(lambda: bench.container()["restartCount"] == 1)

    bench = play(tmp_path, story)
    assert "Killing: Container c failed liveness probe, will be restarted" in bench.events()


def test_nothing_else_is_asked_before_the_startup_probe_succeeded(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("good",)] = 0
        bench.runtime.exec_codes[("up",)] = 1
        startup = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 30}
        bench.pod("p", app(startupProbe=startup, readinessProbe=probe(), livenessProbe=probe()))
        await until(lambda: bench.status()["phase"] == "Running")
        await asyncio.sleep(10)
        assert not bench.container()["started"]
        assert {command for _, command in bench.runtime.executed} == {("up",)}
        bench.runtime.exec_codes[("up",)] = 0
        await until(lambda: bench.condition("Ready") == "True")

    play(tmp_path, story)


def test_a_startup_probe_that_never_succeeds_restarts(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("up",)] = 1
        startup = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 3}
        bench.pod("p", app(startupProbe=startup))
        await until(lambda: bench.container()["restartCount"] == 1)

    play(tmp_path, story)


def test_hooks_run_after_the_start_and_before_the_stop(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes.update({("after",): 0, ("before",): 0})
        hooks = {"postStart": {"exec": {"command": ["after"]}},
                 "preStop": {"exec": {"command": ["before"]}}}  # fmt: skip
        bench.pod("p", app(lifecycle=hooks))
        await until(lambda: bench.condition("Ready") == "True")
        assert [command for _, command in bench.runtime.executed] == [("after",)]
        bench.mark_deleted()
        await until(lambda: not bench.exists())
        assert [command for _, command in bench.runtime.executed] == [("after",), ("before",)]

    play(tmp_path, story)


def test_a_failing_post_start_hook_ends_the_container(tmp_path: Path) -> None:
    async def story(bench: Any) -> None:
        bench.runtime.exec_codes[("after",)] = 1
        bench.pod("p", app(lifecycle={"postStart": {"exec": {"command": ["after"]}}}))
        await until(lambda: bench.container()["restartCount"] >= 1)

    bench = play(tmp_path, story)
    assert any(event.startswith("FailedPostStartHook") for event in bench.events())


# -- the four ways to ask, over real sockets


@contextlib.asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """Says the same to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        await writer.drain()
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with made:
        yield made.sockets[0].getsockname()[1]
        await asyncio.sleep(0.01)  # both sides close in their own time


async def asked(handler: Json) -> Answer:
    runtime = FakeRuntime(SystemClock())
    await runtime.run_sandbox(Sandbox("s", "g"))
    await runtime.start(Container("c", "s", ("sleep", "1"), "g"))
    container = {"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}
    return await ask(handler, Target("c", container, lambda: "127.0.0.1"), runtime, 2)


@pytest.mark.parametrize(
    ("status", "good"), [("200 OK", True), ("302 Found", True), ("404 Not Found", False)]
)
async def test_http(status: str, good: bool) -> None:
    text = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi"
    async with server(text.encode()) as port:
        answer = await asked({"httpGet": {"port": port, "path": "/x"}})
    assert answer.good == good
    if not good:
        assert answer.text == "HTTP probe failed with statuscode: 404"


async def test_a_closed_port_is_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        place = f"127.0.0.1:{port}"
        http = await asked({"httpGet": {"port": port, "path": "/x"}})
        tcp = await asked({"tcpSocket": {"port": port}})
    refused = f"dial tcp {place}: connect: connection refused"
    assert http == Answer(False, f'Get "http://{place}/x": {refused}')
    assert tcp == Answer(False, refused)


async def test_tcp_and_exec() -> None:
    async with server(b"") as port:
        assert (await asked({"tcpSocket": {"port": str(port)}})).good
    assert await asked({"exec": {"command": ["echo", "fine"]}}) == Answer(True, "fine\n")
    assert not (await asked({"exec": {"command": ["false"]}})).good
    assert "nosuch" in (await asked({"exec": {"command": ["nosuch"]}})).text


@pytest.mark.parametrize(("status", "good"), [(1, True), (2, False)])
async def test_grpc(status: int, good: bool) -> None:
    message = bytes((0x08, status))
    body = b"\x00" + struct.pack("!I", len(message)) + message
    frames = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # SETTINGS
    frames += len(body).to_bytes(3, "big") + bytes((grpc.DATA, 0)) + (1).to_bytes(4, "big") + body
    async with server(frames) as port:
        answer = await asked({"grpc": {"port": port}})
    assert answer.good == good
    if not good:
        assert answer.text == 'service unhealthy (responded with "NOT_SERVING")'


def test_ports_by_name_and_number() -> None:
    container = {"ports": [{"name": "web", "containerPort": 8080}]}
    assert port_number("web", container) == 8080
    assert port_number("81", container) == port_number(81, container) == 81
    with pytest.raises(ValueError, match="none"):
        port_number("none", container)
