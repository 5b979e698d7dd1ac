"""*prometheus* counts queries and replies and serves `/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from sampan.dns import codes, names
from sampan.dns.arguments import ONCE, check_host_port
from sampan.dns.corefile import CorefileError
from sampan.dns.counters import add, merged
from sampan.dns.finish import question_size, reply_size
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, Closer, Settings, World
from sampan.std.http import Request, Response
from sampan.std.metrics import CONTENT_TYPE

TOLD = frozenset(
    (codes.A, codes.AAAA, codes.CNAME, codes.DNSKEY, codes.DS, codes.MX, codes.NSEC3, codes.NSEC,
     codes.NS, codes.PTR, codes.RRSIG, codes.SOA, codes.SRV, codes.TXT, 64, 65, codes.IXFR,
     codes.AXFR, codes.ANY)
)  # fmt: skip
"""Types with a label of their own; others would make labels without end."""
Count = Callable[[int, float], None]


class Metrics(Plugin):
    static = True
    keeps_ttls = True
    nameless = True

    def __init__(self, world: World, block: Settings, address: str) -> None:
        self.world = world
        self.block = block
        self.address = address
        self._close: Closer | None = None
        self._known: dict[tuple[str | int | bool, ...], Count] = {}

    async def answer(self, query: Query, following: Handler) -> Reply:
        monotonic = self.world.clock.monotonic
        began = monotonic()
        reply = await following(query)
        if reply.dropped:
            return reply
        count = self._count(query, reply)
        count(1, monotonic() - began)
        if reply.validity is not None:
            return reply.counted(count)
        return reply

    def _count(self, query: Query, reply: Reply) -> Count:
        """What counts this sort of query and reply; kept, since looking it up costs more."""
        size, answered = question_size(query, reply), reply_size(query, reply)
        zone = names.longest_zone(query.name, self.block.keys) or "."
        site = (query.server.name, zone, query.view)
        sort = (
            *site, query.client.proto, query.client.family, query.type, query.do, size,
            answered, reply.rcode, reply.plugin,
        )  # fmt: skip
        found = self._known.get(sort)
        if found is None:
            if len(self._known) > 4096:
                self._known.clear()
            found = self._known[sort] = self._made(query, reply, site, (size, answered))
        return found

    def _made(
        self, query: Query, reply: Reply, site: tuple[str, str, str], sizes: tuple[int, int]
    ) -> Count:
        counters, client = self.world.counters, query.client
        kind = codes.type_name(query.type) if query.type in TOLD else "other"
        rcode = codes.rcode_name(reply.rcode)
        requests = counters.requests.labels(*site, client.proto, str(client.family), kind)
        responses = counters.responses.labels(*site, rcode, reply.plugin.strip())
        durations = counters.durations.labels(*site)
        request_sizes = counters.request_sizes.labels(*site, client.proto)
        response_sizes = counters.response_sizes.labels(*site, client.proto)
        signed = counters.do_requests.labels(*site) if query.do else None
        asked, answered = sizes
        asked_at = bisect_left(request_sizes.bounds, asked)
        answered_at = bisect_left(response_sizes.bounds, answered)

        def count(number: int, seconds: float) -> None:
            requests.value += number
            responses.value += number
            add(durations, seconds, number)
            request_sizes.counts[asked_at] += number
            request_sizes.total += asked * number
            response_sizes.counts[answered_at] += number
            response_sizes.total += answered * number
            if signed is not None:
                signed.value += number

        return count

    async def start(self) -> None:
        counters = self.world.counters
        counters.build_info.labels(self.world.version, "", "").set(1)
        for host in self.block.hosts:
            shown = f"[{host}]" if ":" in host else host
            server = f"{self.block.transport}://{shown}:{self.block.port}"
            for zone in self.block.keys:
                for plugin in self.block.all_plugins():
                    if plugin.answers:
                        labels = (server, zone, self.block.view, plugin.name)
                        counters.plugin_enabled.labels(*labels).set(1)
        try:
            self._close = await self.world.pages.serve(self.address, self.page)
        except OSError as bad:
            # Answers matter more than counters.
            self.world.log.error(f"Failed to start metrics handler: {bad}")

    async def page(self, request: Request) -> Response:
        if request.path != "/metrics":
            return Response(404, {"content-type": "text/plain; charset=utf-8"}, b"")
        self.world.tell()
        pages = [self.world.counters.page()]
        if self.world.others is not None:
            pages += await self.world.others.counters()
        return Response(200, {"content-type": CONTENT_TYPE}, merged(pages).encode())

    async def stop(self) -> None:
        if self._close is not None:
            await self._close()


def setup(args: Args) -> Plugin:
    metrics = Metrics(args.world, args.block, "localhost:9153")
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if len(words) > 1:
            raise args.wrong_count()
        if words:
            # Published examples leave the colon out.
            bare = words[0].isascii() and words[0].isdigit()
            metrics.address = check_host_port(f":{words[0]}" if bare else words[0])
        for name in args.properties():
            if name == "runtime_metrics":
                args.none()
            else:
                raise args.error(f"unknown option: {name}")
    return metrics
