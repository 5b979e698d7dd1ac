"""The kubelet's HTTPS port: paths to answers.

/containerLogs/{ns}/{pod}/{container}     /exec/… /attach/… (WebSocket, SPDY/3.1)
/portForward/{ns}/{pod}                   /pods /healthz /stats/summary /metrics…
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, unquote

import orjson

from sampan.api.meta import Json, Key
from sampan.kubelet import pods
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.logs import LogOptions, read_log
from sampan.kubelet.observed import Observed
from sampan.kubelet.server import channels, portforward, spdycommand, statistics
from sampan.kubelet.server.auth import Gate
from sampan.kubelet.server.sessions import attach_session, exec_session
from sampan.kubelet.server.wire import Wants, Wire
from sampan.kubelet.settings import VERSION
from sampan.linux.base.cgroups import Cgroups
from sampan.linux.base.processes import ContainerState
from sampan.std.about import About
from sampan.std.http import Request, Response, Stream
from sampan.std.metrics import CONTENT_TYPE

Query = dict[str, list[str]]
Run = Callable[[Wire, Wants], Awaitable[None]]


class Refusal(Exception):
    """An answer that is none."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class KubeletServer:
    """A `std.http.Handler`."""

    def __init__(self, kubelet: Kubelet, gate: Gate, cgroups: Cgroups) -> None:
        self.kubelet, self.gate, self.cgroups = kubelet, gate, cgroups
        self.started = kubelet.kit.clock.now()
        self.routes: dict[str, Callable[[Request, list[str]], Awaitable[Response]]] = {
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "pods": self._pods,
            "configz": self._configz,
            "statusz": self._statusz,
            "flagz": self._flagz,
            "healthz": self._healthz,
            "stats": self._stats,
            "metrics": self._metrics,
        }

    async def handle(self, request: Request) -> Response:
        refused = await self.gate.refusal(request)
        if refused is not None:
            return text(*refused)
        first, *rest = [unquote(part) for part in request.path.strip("/").split("/")]
        route = self.routes.get(first)
        if route is None:
            return text(404, "404 page not found")
        try:
            return await route(request, rest)
        except Refusal as refusal:
            return text(refusal.status, str(refusal))

    # -- what this process is

    async def _configz(self, request: Request, parts: list[str]) -> Response:
        shown = {"kubeletconfig": dict(self.gate.wanted.config)}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(shown))

    async def _statusz(self, request: Request, parts: list[str]) -> Response:
        return self._about().statusz(request)

    async def _flagz(self, request: Request, parts: list[str]) -> Response:
        return self._about().flagz(request)

    def _about(self) -> About:
        paths = tuple(f"/{name}" for name in self.routes)
        flags, version = self.gate.wanted.flags, VERSION.removeprefix("v")
        return About("kubelet", version, self.started, flags, paths)

    # -- logs

    async def _logs(self, request: Request, parts: list[str]) -> Response:
        pod, seen, name = self._container(parts)
        query = parse_qs(request.query)
        options = self._log_options(query)
        run = _run_for_logs(pod, seen, name, previous=_flag(query, "previous"))
        clock = self.kubelet.kit.clock

        def is_over() -> bool:
            known = self.kubelet.kit.runtime.containers.get(run.spec.id)
            return known is None or known.exit is not None

        body = read_log(run.spec.output.path, options, clock, is_over)
        return Response(200, {"content-type": "text/plain"}, _as_far_as_there_is(body))

    def _log_options(self, query: Query) -> LogOptions:
        since = pods.time_of(_one(query, "sinceTime"))
        seconds = _one(query, "sinceSeconds")
        if seconds:
            since = self.kubelet.kit.clock.now() - float(seconds)
        tail, limit = _one(query, "tailLines"), _one(query, "limitBytes")
        return LogOptions(
            follow=_flag(query, "follow"),
            tail_lines=int(tail) if tail else None,
            since=since,
            timestamps=_flag(query, "timestamps"),
            limit_bytes=int(limit) if limit else None,
            stream=_one(query, "stream") or "All",
        )

    # -- exec, attach, port-forward

    async def _exec(self, request: Request, parts: list[str]) -> Response:
        state = self._running(parts)
        command = tuple(parse_qs(request.query, keep_blank_values=True).get("command", ()))
        if not command:
            raise Refusal(400, "you must specify at least 1 command")
        runtime = self.kubelet.kit.runtime.runtime

        async def run(wire: Wire, wants: Wants) -> None:
            await exec_session(runtime, state.spec.id, command, wants, wire)

        return _remote_command(request, wants_of(request.query), run)

    async def _attach(self, request: Request, parts: list[str]) -> Response:
        state = self._running(parts)
        asked = wants_of(request.query)
        spec = state.spec
        wants = Wants(
            asked.stdin and spec.stdin, asked.stdout, asked.stderr and not spec.tty, spec.tty
        )
        runtime = self.kubelet.kit.runtime.runtime

        async def run(wire: Wire, wants: Wants) -> None:
            await attach_session(runtime, spec.id, wants, wire)

        return _remote_command(request, wants, run)

    async def _port_forward(self, request: Request, parts: list[str]) -> Response:
        pod, seen = self._pod(parts[:2])
        box = seen.sandbox
        if box is None or not box.ready:
            raise Refusal(400, f"pod {pod['metadata']['name']} does not run")
        dial = portforward.dialer(self.kubelet.kit.runtime.runtime, box.spec.id)
        query = parse_qs(request.query)
        ports = [int(p) for text in query.get("port", ()) for p in text.split(",") if p]
        answer = portforward.answer(request, ports, dial)
        if answer is None:
            raise Refusal(400, "Upgrade request required")
        return answer

    # -- pages

    async def _pods(self, request: Request, parts: list[str]) -> Response:
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self.kubelet.pods()}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    async def _healthz(self, request: Request, parts: list[str]) -> Response:
        return text(200, "ok", newline=False)

    async def _stats(self, request: Request, parts: list[str]) -> Response:
        if parts[:1] != ["summary"]:
            raise Refusal(404, "404 page not found")
        body = statistics.summary(self.kubelet, self.cgroups)
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    async def _metrics(self, request: Request, parts: list[str]) -> Response:
        pages = {(): statistics.own_metrics, ("cadvisor",): statistics.cadvisor,
                 ("resource",): statistics.resource_metrics}  # fmt: skip
        page = pages.get(tuple(parts))
        if page is None:
            raise Refusal(404, "404 page not found")
        return Response(
            200, {"content-type": CONTENT_TYPE}, page(self.kubelet, self.cgroups).encode()
        )

    # -- who is meant

    def _pod(self, parts: list[str]) -> tuple[Json, Observed]:
        if len(parts) < 2:
            raise Refusal(404, "404 page not found")
        worker = self.kubelet.worker_named(Key(parts[0], parts[1]))
        if worker is None:
            raise Refusal(404, f'pod "{parts[1]}" not found')
        return worker.pod, self.kubelet.kit.runtime.observe(pods.uid_of(worker.pod))

    def _container(self, parts: list[str]) -> tuple[Json, Observed, str]:
        pod, seen = self._pod(parts)
        name = parts[-1] if len(parts) > 2 else ""
        if pods.container_named(pod, name) is None:
            where = f'"{pod["metadata"]["name"]}"'
            raise Refusal(404, f'container "{name}" not found in pod {where}')
        return pod, seen, name

    def _running(self, parts: list[str]) -> ContainerState:
        _, seen, name = self._container(parts)
        state = seen.newest(name)
        if state is None or state.exit is not None:
            raise Refusal(400, f'container not found ("{name}")')
        return state


def text(status: int, body: str, *, newline: bool = True) -> Response:
    headers = {"content-type": "text/plain; charset=utf-8"}
    return Response(status, headers, (body + ("\n" if newline else "")).encode())


def wants_of(query: str) -> Wants:
    found = parse_qs(query)
    names = ("input", "output", "error", "tty")
    stdin, stdout, stderr, tty = (_flag(found, name) for name in names)
    return Wants(stdin, stdout, stderr and not tty, tty)


def _remote_command(request: Request, wants: Wants, run: Run) -> Response:
    """The answer that switches to WebSocket or SPDY."""
    if channels.is_websocket(request):
        protocol = channels.choose(request, channels.REMOTE_COMMAND)
        if protocol is None:
            raise Refusal(400, "none of the sub-protocols is spoken here")

        async def speak(stream: Stream) -> None:
            talk = channels.Channels(stream, protocol)
            wire = channels.WebSocketWire(talk, wants)
            reading = asyncio.ensure_future(talk.run())
            try:
                await wire.greet()
                await run(wire, wants)
            finally:
                reading.cancel()
                await asyncio.wait({reading})

        headers = channels.accept_headers(request, protocol.name)
        return Response(101, headers, upgrade=speak)
    if spdycommand.is_spdy(request):
        return spdycommand.answer(request, wants, run)
    raise Refusal(400, "Upgrade request required")


def _run_for_logs(pod: Json, seen: Observed, name: str, *, previous: bool) -> ContainerState:
    """Which run's log is meant. Raises Refusal."""
    runs = seen.containers.get(name, ())
    where = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    if not previous:
        if not runs:
            raise Refusal(400, f"{where} is waiting to start: {_waiting_reason(pod, name)}")
        return runs[0]
    # Between two runs the last one is over: what runs "now" is nothing.
    waits = "waiting" in _state(pod, name)
    before = runs if waits and runs and runs[0].exit is not None else runs[1:]
    if not before:
        raise Refusal(400, f"previous terminated {where} not found")
    return before[0]


def _state(pod: Json, name: str) -> Json:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for known in status.get(field) or ():
            if known["name"] == name:
                state: Json = known["state"]
                return state
    return {}


def _waiting_reason(pod: Json, name: str) -> str:
    waiting = _state(pod, name).get("waiting") or {}
    return str(waiting.get("message") or waiting.get("reason") or "ContainerCreating")


async def _as_far_as_there_is(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A log that was removed, or never begun, is empty."""
    with contextlib.suppress(FileNotFoundError):
        async for chunk in body:
            yield chunk


def _one(query: Query, name: str) -> str:
    return query.get(name, [""])[0]


def _flag(query: Query, name: str) -> bool:
    return _one(query, name).lower() in ("1", "true")


def server_context(certificate: bytes, key: bytes, client_ca: bytes) -> ssl.SSLContext:
    """TLS that asks for a client certificate and does without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
    if client_ca:
        context.load_verify_locations(cadata=client_ca.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
