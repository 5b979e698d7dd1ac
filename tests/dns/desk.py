"""A Corefile answered in memory: queries go in as bytes, replies come out as bytes."""

from __future__ import annotations

import marshal
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype

from sampan.dns import corefile
from sampan.dns.chain import sites
from sampan.dns.kube import model, objects
from sampan.dns.plugin import Client
from sampan.dns.plugins import PLUGINS
from sampan.dns.server.answer import Answerer
from sampan.dns.server.instance import Instance
from sampan.dns.setup import World
from sampan.std.clock import Clock
from sampan.std.http import Handler, Request, Response

ROWS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Namespace": (model.NAMESPACE, objects.namespace_row),
    "Service": (model.SERVICE, objects.service_row),
    "EndpointSlice": (model.SLICE, objects.slice_row),
    "Pod": (model.POD, objects.pod_row),
    "ServiceImport": (model.IMPORT, objects.import_row),
}


class Lines:
    """A log that is read afterwards."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.debugging = False

    def info(self, text: str) -> None:
        self.lines.append("[INFO] " + text)

    query = info

    def warning(self, text: str) -> None:
        self.lines.append("[WARNING] " + text)

    def error(self, text: str) -> None:
        self.lines.append("[ERROR] " + text)

    def plain(self, text: str) -> None:
        self.lines.append(text)

    def debug(self, text: str) -> None:
        if self.debugging:
            self.lines.append("[DEBUG] " + text)


class PageTable:
    """Pages that are asked without a socket."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    async def serve(self, address: str, handler: Handler, tls: Any = None) -> Callable[[], Any]:
        self.handlers[address] = handler

        async def close() -> None:
            self.handlers.pop(address, None)

        return close

    async def get(self, address: str, path: str) -> Response:
        return await self.handlers[address](Request("GET", path))


class Fed:
    """A watching half that a test plays: what it is given first arrives at the start."""

    def __init__(self, first: Iterable[Any] = ()) -> None:
        self.first = [*first, (model.SYNCED,)]
        self.receive: Callable[[bytes], None] = lambda batch: None

    def start(
        self,
        name: str,
        work: Callable[[Callable[[bytes], None]], Awaitable[None]],
        receive: Callable[[bytes], None],
    ) -> Callable[[], Awaitable[None]]:
        self.receive = receive
        receive(marshal.dumps(self.first))

        async def close() -> None:
            self.receive = lambda batch: None

        return close


def row(obj: dict[str, Any]) -> Any:
    """What the watching half would send for an object."""
    kind, cut = ROWS[obj["kind"]]
    if obj["kind"] == "EndpointSlice" and objects.IMPORT_NAME in obj["metadata"].get("labels", {}):
        kind, cut = model.IMPORT_SLICE, objects.import_slice_row
    return (kind, objects.plain(cut(obj)))


class Desk:
    """`ask` answers as a message of dnspython's; `wire` as bytes; `put` and `drop` change the
    cluster.
    """

    def __init__(self, text: str, cluster: Iterable[dict[str, Any]], clock: Clock | None) -> None:
        self.log, self.pages, self.feeds = Lines(), PageTable(), Fed(map(row, cluster))
        self.world = World(self.log, self.pages, self.feeds, chance=random.Random(7))
        if clock is not None:
            self.world.clock = clock
        self.world.changed = self._changed
        self.world.addresses = lambda: [("lo", "127.0.0.1"), ("eth0", "10.9.9.9")]
        source = corefile.Sources(PLUGINS, {}, self.log.warning)
        blocks = corefile.parse(text, "Corefile", source)
        self.instance = Instance(sites(blocks, self.world, PLUGINS))
        self.answerers = {
            address: Answerer(routes, self.world.clock, random.Random(11), self._panic)
            for address, routes in self.instance.routes().items()
        }
        self.panics: list[Exception] = []

    @property
    def answerer(self) -> Answerer:
        return next(iter(self.answerers.values()))

    def _changed(self, tags: Sequence[Hashable]) -> None:
        for answerer in self.answerers.values():
            answerer.memo.drop(tags)

    def _panic(self, bad: Exception) -> None:
        self.panics.append(bad)

    async def wire(self, query: bytes, client: Client | None = None) -> bytes:
        """Always through the chain, unless somebody hears of it."""
        client = client or Client()
        known = self.answerer.heard(query, client.address, client.port)
        if known is not None and client.proto == "udp":
            return known
        answers = await self.answerer.full(query, client)
        return answers[0] if answers else b""

    async def ask(
        self, name: str, kind: str = "A", *, client: Client | None = None, **options: Any
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)
        return dns.message.from_wire(await self.wire(query.to_wire(), client))

    def put(self, *changed: dict[str, Any]) -> None:
        self.feeds.receive(marshal.dumps([row(obj) for obj in changed]))

    def drop(self, obj: dict[str, Any]) -> None:
        kind = ROWS[obj["kind"]][0]
        meta = obj["metadata"]
        gone = (model.GONE, kind, meta["namespace"], meta["name"])
        self.feeds.receive(marshal.dumps([gone]))


@asynccontextmanager
async def desk(text: str, *cluster: dict[str, Any], clock: Clock | None = None) -> Any:
    """A started desk; its plugins are stopped at the end."""
    made = Desk(text, cluster, clock)
    await made.instance.start()
    made.instance.work(made._panic)
    try:
        yield made
    finally:
        await made.instance.stop()
    assert not made.panics, made.panics


def shown(message: dns.message.Message) -> tuple[str, list[str], list[str], list[str]]:
    """Response code and the sections as sorted lines."""
    sections = (message.answer, message.authority, message.additional)
    lines = [sorted(line for rrset in s for line in str(rrset).splitlines()) for s in sections]
    return dns.rcode.to_text(message.rcode()), *lines


def answers(message: dns.message.Message) -> list[str]:
    return shown(message)[1]
