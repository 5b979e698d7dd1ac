"""The kubelet's port: logs, exec and attach over WebSocket, pages and who may see them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.kubelet.server.auth import Gate, subresources_of
from sampan.kubelet.settings import Server
from sampan.std.clock import SystemClock
from sampan.std.http import Request, Response
from tests.kubelet.bench import app
from tests.kubelet.port import EXEC, Live, talk

LOGS = "/containerLogs/default/p/c"


async def test_logs_with_their_options(live: Live) -> None:
    live.runtime.write(live.running_id(), "one\ntwo\n")
    live.runtime.write(live.running_id(), "err\n", "stderr")
    assert await live.text(LOGS) == "one\ntwo\nerr\n"
    assert await live.text(LOGS, "tailLines=2") == "two\nerr\n"
    assert await live.text(LOGS, "limitBytes=5") == "one\nt"
    assert await live.text(LOGS, "stream=Stderr") == "err\n"
    stamped = await live.text(LOGS, "timestamps=true&tailLines=1")
    assert stamped.endswith("Z err\n")


async def test_a_followed_log_ends_with_its_container(live: Live) -> None:
    container = live.running_id()
    live.runtime.write(container, "one\n")
    following = asyncio.create_task(live.text(LOGS, "follow=true"))
    await asyncio.sleep(0.02)
    live.runtime.write(container, "two\n")
    live.runtime.finish(container, 0)
    assert await following == "one\ntwo\n"


async def test_logs_that_are_not_there_say_why(live: Live) -> None:
    answer = await live.ask("/containerLogs/default/none/c")
    assert (answer.status, await answer.read()) == (404, b'pod "none" not found\n')
    answer = await live.ask("/containerLogs/default/p/none")
    assert answer.status == 404
    answer = await live.ask(LOGS, "previous=true")
    want = b'previous terminated container "c" in pod "p" not found\n'
    assert (answer.status, await answer.read()) == (400, want)
    live.pod("q", app("c", image="nginx"))
    await asyncio.sleep(0.05)
    answer = await live.ask("/containerLogs/default/q/c")
    assert answer.status == 400
    assert b'container "c" in pod "q" is waiting to start: ' in await answer.read()


async def test_the_log_of_the_run_before(live: Live) -> None:
    first = live.running_id()
    live.runtime.write(first, "first\n")
    live.runtime.finish(first, 1)
    async with asyncio.timeout(5):
        while live.container()["restartCount"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    live.runtime.write(live.running_id(), "second\n")
    assert await live.text(LOGS) == "second\n"
    assert await live.text(LOGS, "previous=true") == "first\n"


# -- exec over WebSocket


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_tells_output_and_exit_code(live: Live, protocol: str) -> None:
    session = await talk(live, EXEC, "command=echo&command=hi&output=1&error=1", protocol)
    assert session.response.headers["sec-websocket-protocol"] == protocol
    found = await session.listen()
    assert found[1] == b"hi\n"
    assert json.loads(found[3]) == {"metadata": {}, "status": "Success"}
    session = await talk(live, EXEC, "command=exit&command=7&output=1", protocol)
    status = json.loads((await session.listen())[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_exec_in_the_older_protocols(live: Live) -> None:
    query = "command=echo&command=hi&output=1"
    assert await (await talk(live, EXEC, query, "channel.k8s.io")).listen() == {1: b"hi\n"}
    assert await (await talk(live, EXEC, query, "")).listen() == {1: b"hi\n"}
    found = await (await talk(live, EXEC, query, "base64.channel.k8s.io")).listen()
    assert found == {1: b"hi\n"}
    found = await (await talk(live, EXEC, "command=exit&command=3&output=1", "")).listen()
    assert b"exit status 3" in found[3]


async def test_input_ends_with_the_close_of_its_channel(live: Live) -> None:
    session = await talk(live, EXEC, "command=cat&input=1&output=1")
    await session.send(0, b"some ")
    await session.send(0, b"words")
    await session.send(255, b"\x00")
    assert (await session.listen())[1] == b"some words"


async def test_much_output_arrives_whole_at_a_slow_client(live: Live) -> None:
    session = await talk(live, EXEC, "command=cat&input=1&output=1")
    data = bytes(range(256)) * 4096

    async def feed() -> None:
        for start in range(0, len(data), 50_000):
            await session.send(0, data[start : start + 50_000])
        await session.send(255, b"\x00")

    feeding = asyncio.create_task(feed())
    assert (await session.listen())[1] == data
    await feeding


async def test_a_terminal(live: Live) -> None:
    session = await talk(live, EXEC, "command=echo&command=hi&input=1&output=1&tty=1")
    await session.send(4, b'{"Width":100,"Height":40}')
    found = await session.listen()
    assert found[1] == b"hi\r\n"


async def test_a_command_that_is_not_there(live: Live) -> None:
    session = await talk(live, EXEC, "command=nosuch&output=1")
    status = json.loads((await session.listen())[3])
    assert status["code"] == 500
    assert "nosuch" in status["message"]


async def test_a_client_that_leaves_ends_its_command(live: Live) -> None:
    session = await talk(live, EXEC, "command=sleep&command=1000&output=1")
    await asyncio.sleep(0.01)
    session.pipe.close()
    async with asyncio.timeout(5):
        await session.task


async def test_what_cannot_be_upgraded(live: Live) -> None:
    answer = await live.ask(EXEC, "command=true")
    assert (answer.status, await answer.read()) == (400, b"Upgrade request required\n")
    answer = await live.ask(EXEC, "")
    assert answer.status == 400
    headers = {"upgrade": "websocket", "sec-websocket-key": "x", "sec-websocket-protocol": "z"}
    assert (await live.ask(EXEC, "command=true", **headers)).status == 400


async def test_attach_shows_what_comes_from_now_on(live: Live) -> None:
    session = await talk(live, "/attach/default/p/c", "output=1&error=1")
    await asyncio.sleep(0.01)
    live.runtime.write(live.running_id(), "out\n")
    live.runtime.write(live.running_id(), "err\n", "stderr")
    live.runtime.finish(live.running_id(), 0)
    found = await session.listen()
    assert (found[1], found[2]) == (b"out\n", b"err\n")


# -- pages and who may see them


async def test_pages(live: Live) -> None:
    assert await live.text("/healthz") == "ok"
    assert json.loads(await live.text("/pods"))["items"][0]["metadata"]["name"] == "p"
    live.cgroups.ensure(live.runtime.containers[live.running_id()].spec.cgroup, _limits())
    summary = json.loads(await live.text("/stats/summary"))
    assert summary["node"]["nodeName"] == "n1"
    assert summary["pods"][0]["containers"][0]["name"] == "c"
    cadvisor = await live.text("/metrics/cadvisor")
    assert 'container_memory_usage_bytes{container="c",' in cadvisor
    assert "container_start_time_seconds" in await live.text("/metrics/resource")
    own = await live.text("/metrics")
    assert 'kubelet_running_containers{container_state="running"} 1' in own
    assert (await live.ask("/nosuch")).status == 404


def _limits() -> Any:
    from sampan.linux.base.processes import Limits

    return Limits()


class Reviews:
    """An API server that knows one token and one right."""

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        body: Json = json.loads(request.body)
        if request.path.endswith("/tokenreviews"):
            good = body["spec"]["token"] == "good"
            status: Json = {"authenticated": good, "user": {"username": "u", "groups": ["g"]}}
        else:
            wanted = body["spec"]["resourceAttributes"]
            may = wanted["subresource"] in ("stats", "configz")
            status = {"allowed": may and body["spec"]["user"] == "u"}
        return Response(201, {}, json.dumps({"status": status}).encode())

    async def close(self) -> None: ...


async def test_strangers_are_kept_out_and_others_asked_about() -> None:
    gate = Gate(Client(Reviews()), "n1", SystemClock(), Server())

    async def status(path: str, token: str = "") -> int:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        refused = await gate.refusal(Request("GET", path, headers=headers))
        return refused[0] if refused else 200

    assert await status("/healthz") == 200
    assert await status("/pods") == 401
    assert await status("/pods", "bad") == 401
    assert await status("/stats/summary", "good") == 200
    assert await status("/exec/a/b/c", "good") == 403
    assert await status("/configz", "good") == 200, "without nodes/proxy"
    assert await status("/pods", "good") == 403
    assert subresources_of("/metrics/cadvisor") == ("metrics",)
    assert subresources_of("/pods") == ("pods", "proxy")
    assert subresources_of("/podsandmore") == ("proxy",)
