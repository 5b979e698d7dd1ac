"""*trace* sends the steps of queries, with their times, to Zipkin or to a Datadog agent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sampan.client.http import HttpTransport
from sampan.client.transport import Request, Unreachable
from sampan.dns import codes
from sampan.dns.arguments import BadDuration, duration, go_bool, go_int, go_uint
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, World

DEFAULT_ENDPOINT = "localhost:9411"
TIMEOUT_S = 5.0


class Step:
    """One span; the root has no parent and carries the tags."""

    def __init__(self, trace: Trace, name: str, parent: Step | None) -> None:
        chance = trace.world.chance
        self.trace = trace
        self.name = name
        self.parent = parent
        self.id = chance.getrandbits(63) or 1
        self.root: int = parent.root if parent else self.id
        self.began = trace.world.clock.now()
        self.took = 0.0
        self.tags: dict[str, str] = {}

    def child(self, name: str) -> Step:
        return Step(self.trace, name, self)

    def end(self) -> None:
        self.took = self.trace.world.clock.now() - self.began
        self.trace.done(self)


class Trace(Plugin):
    has_work = True

    def __init__(self, world: World, kind: str, url: str) -> None:
        self.world = world
        self.kind = kind
        self.url = urlsplit(url)
        self.every = 1
        self.service = "coredns"
        self.shared_spans = False
        self.rate = 0.0
        self.batch = 100
        self.interval_s = 1.0
        self.steps: deque[Step] = deque(maxlen=1000)
        self.full = asyncio.Event()
        self._count = 0

    def bound(self, steps: int) -> None:
        """How many steps may wait to be sent."""
        self.steps = deque(maxlen=max(0, steps))

    async def answer(self, query: Query, following: Handler) -> Reply:
        self._count += 1
        if query.span is not None or not self.every or self._count % self.every:
            return await following(query)
        root = Step(self, "servedns", None)
        facts = {**(query.metadata or {}), "trace/traceid": lambda: f"{root.root:016x}"}
        told = facts if query.metadata is not None else None
        reply = None
        try:
            reply = await following(query._replace(span=root, metadata=told))
            return reply
        finally:
            self._tag(root, query, reply)
            root.end()

    def _tag(self, root: Step, query: Query, reply: Reply | None) -> None:
        mark = "@" if self.kind == "datadog" else "/"
        client = query.client
        root.tags = {
            f"coredns.io{mark}name": query.qname,
            f"coredns.io{mark}type": codes.type_name(query.type),
            f"coredns.io{mark}proto": client.proto,
            f"coredns.io{mark}remote": client.address,
            f"coredns.io{mark}rcode": codes.rcode_name(reply.rcode if reply else codes.SERVFAIL),
        }
        if reply is None or reply.error:
            root.tags["error"] = reply.error if reply else "failed"

    def done(self, step: Step) -> None:
        self.steps.append(step)
        if len(self.steps) >= self.batch:
            self.full.set()

    async def run(self) -> None:
        transport = HttpTransport(f"{self.url.scheme}://{self.url.netloc}")
        waiting = asyncio.ensure_future(self.full.wait())
        try:
            while True:
                pause = asyncio.ensure_future(self.world.clock.sleep(self.interval_s))
                await asyncio.wait([waiting, pause], return_when="FIRST_COMPLETED")
                pause.cancel()
                if waiting.done():
                    self.full.clear()
                    waiting = asyncio.ensure_future(self.full.wait())
                if self.steps:
                    await self._send(transport)
        finally:
            waiting.cancel()
            await transport.close()

    async def _send(self, transport: HttpTransport) -> None:
        steps = list(self.steps)
        self.steps.clear()
        method, shown = ("PUT", _datadog) if self.kind == "datadog" else ("POST", _zipkin)
        headers = {"content-type": "application/json"}
        request = Request(
            method, self.url.path, "", headers, json.dumps(shown(self, steps)).encode()
        )
        try:
            await (await transport.request(request, timeout_s=TIMEOUT_S)).read()
        except (Unreachable, OSError) as bad:
            self.world.log.debug(f"plugin/trace: failed to send the request: {bad}")


def _zipkin(trace: Trace, steps: list[Step]) -> list[Mapping[str, Any]]:
    return [
        {
            "traceId": f"{step.root:016x}",
            "id": f"{step.id:016x}",
            **({"parentId": f"{step.parent.id:016x}"} if step.parent else {"kind": "SERVER"}),
            "name": step.name,
            "timestamp": int(step.began * 1e6),
            "duration": max(1, int(step.took * 1e6)),
            "localEndpoint": {"serviceName": trace.service},
            "tags": step.tags,
            **({"shared": True} if trace.shared_spans and not step.parent else {}),
        }
        for step in steps
    ]


def _datadog(trace: Trace, steps: list[Step]) -> list[list[Mapping[str, Any]]]:
    traces: dict[int, list[Mapping[str, Any]]] = {}
    for step in steps:
        shown = {
            "trace_id": step.root,
            "span_id": step.id,
            "parent_id": step.parent.id if step.parent else 0,
            "name": step.name,
            "resource": step.name,
            "service": trace.service,
            "type": "dns",
            "start": int(step.began * 1e9),
            "duration": max(1, int(step.took * 1e9)),
            "meta": step.tags,
            "metrics": {"_dd1.sr.eausr": trace.rate} if trace.rate else {},
            "error": int("error" in step.tags),
        }
        traces.setdefault(step.root, []).append(shown)
    return list(traces.values())


def setup(args: Args) -> Plugin:
    trace: Trace | None = None
    for words in args.places():
        kind, endpoint = _endpoint(args, words)
        trace = Trace(args.world, kind, endpoint)
        for name in args.properties():
            _read(args, trace, name)
    assert trace is not None
    return trace


def _endpoint(args: Args, words: list[str]) -> tuple[str, str]:
    if len(words) > 2:
        raise args.wrong_count()
    kind = words[0].lower() if len(words) == 2 else "zipkin"
    if kind not in ("zipkin", "datadog"):
        raise CorefileError(f"tracing endpoint type '{kind}' is not supported")
    endpoint = words[-1] if words else DEFAULT_ENDPOINT
    if kind == "datadog":
        return kind, f"http://{endpoint.removeprefix('http://')}/v0.4/traces"
    return kind, endpoint if endpoint.startswith("http") else f"http://{endpoint}/api/v2/spans"


def _read(args: Args, trace: Trace, name: str) -> None:
    readers: Mapping[str, Callable[[str], None]] = {
        "every": lambda word: setattr(trace, "every", go_uint(word)),
        "service": lambda word: setattr(trace, "service", word),
        "datadog_analytics_rate": lambda word: setattr(trace, "rate", _rate(word)),
        "zipkin_max_backlog_size": lambda word: trace.bound(go_int(word)),
        "zipkin_max_batch_size": lambda word: setattr(trace, "batch", go_int(word)),
        "zipkin_max_batch_interval": lambda word: setattr(trace, "interval_s", duration(word)),
    }
    if name not in readers and name != "client_server":
        raise args.unknown()
    words = args.rest()
    if name == "client_server":
        if len(words) > 1:
            raise args.wrong_count()
        try:
            trace.shared_spans = not words or go_bool(words[0])
        except ValueError as bad:
            raise CorefileError(str(bad)) from bad
        return
    if len(words) != 1:
        raise args.wrong_count()
    try:
        readers[name](words[0])
    except (ValueError, BadDuration) as bad:
        raise CorefileError(str(bad)) from bad


def _rate(word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{word}": invalid syntax') from None
    if not 0 <= rate <= 1:
        raise ValueError(
            f"datadog analytics rate must be between 0 and 1, '{rate:f}' is not supported"
        )
    return rate
