"""*cache* keeps replies for their time to live.

Replies that say themselves how long they hold (those of *kubernetes*, which a watch keeps true) are
passed on and not kept: a copy could only be older.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable

from sampan.dns import codes, names
from sampan.dns.arguments import ONCE, BadDuration, duration, whole_number
from sampan.dns.cachetable import Item, Table, answers, settle
from sampan.dns.classify import META, NODATA, NXDOMAIN, OTHER, SERVER_ERROR, SUCCESS, kind_of
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Ages, Handler, Plugin, Query, Reply, Validity, reply_to
from sampan.dns.setup import Args, Settings, World

CAPACITY = 10000
MAX_TTL_S = 3600
MIN_TTL_S = 5
Key = tuple[str, int, int, bool, bool]


class Cache(Plugin):
    """`limits` are capacity, highest and lowest TTL."""

    static = True
    keeps_ttls = True  # what it passes on with an age is its own

    def __init__(self, world: World, block: Settings) -> None:
        self.world = world
        self.block = block
        self.zones: tuple[str, ...] = (".",)
        self.success = Table[Key](CAPACITY, MAX_TTL_S, MIN_TTL_S)
        self.denial = Table[Key](CAPACITY, MAX_TTL_S // 2, MIN_TTL_S)
        self.failure_s = float(MIN_TTL_S)
        self.keep_ttl = False
        self.prefetch = 0
        self.prefetch_within_s = 60.0
        self.prefetch_percent = 10
        self.stale_s = 0.0
        self.stale_verify = False
        self.stale_timeout_s = 0.0
        self.stale_ttl_s = 0
        self.stale_recheck_s = 0.0
        self.prefer_positive = False
        self._refreshing: dict[Key, asyncio.Task[Reply]] = {}
        self._retry_after: dict[Key, float] = {}
        self._asked: set[asyncio.Task[Reply]] = set()

    async def answer(self, query: Query, following: Handler) -> Reply:
        if not names.longest_zone(query.name, self.zones):
            return await following(query)
        labels = (query.server.name, ",".join(self.zones), query.view)
        counters, now = self.world.counters, self.world.clock.monotonic()
        key = key_of(query)
        counters.cache_requests.labels(*labels).inc()
        item = self._find(key, now)
        if item is None:
            counters.cache_misses.labels(*labels).inc()
            return await self._fetched(query, following, key)
        kind = "success" if item.positive else "denial"
        hits = counters.cache_hits.labels(query.server.name, kind, *labels[1:])
        hits.inc()
        left = item.left(now)
        if left <= 0:
            return await self._stale(query, following, key, item)
        if self._wants_prefetch(item, left, now):
            self._refresh(query, following, key, item)
            counters.cache_prefetches.labels(*labels).inc()

        def count(number: int, seconds: float) -> None:
            hits.value += number
            counters.cache_requests.labels(*labels).value += number

        if query.metadata is not None and item.wildcard is not None:
            query.metadata["zone/wildcard"] = item.wildcard
        reply = self._from_item(item, query, now)
        if self.prefetch or self.keep_ttl:
            return reply
        ages = Ages(item.stored, item.ttl, item.stored + math.floor(now - item.stored) + 1)
        until = math.nextafter(item.stored + item.ttl, 0)
        validity = Validity((self._tag(key),), until, ages=ages)
        return reply._replace(validity=validity, counts=(count,))

    def _tag(self, key: Key) -> Hashable:
        return "cache", id(self), key

    # Looking up

    def _find(self, key: Key, now: float) -> Item | None:
        good, bad = self.success.get(key), self.denial.get(key)
        if self.prefer_positive and good is not None and self._usable(good, now):
            return good
        if bad is not None and self._usable(bad, now):
            if bad.rcode == codes.SERVFAIL and good is not None and self._usable(good, now):
                return good
            return bad
        return good if good is not None and self._usable(good, now) else None

    def _usable(self, item: Item, now: float) -> bool:
        left = item.left(now)
        return left > 0 or (self.stale_s > 0 and -left < self.stale_s)

    def _from_item(self, item: Item, query: Query, now: float, ttl: int | None = None) -> Reply:
        """The reply as it is now. AA is set, since old resolvers drop replies without it."""
        if ttl is None:
            ttl = item.ttl if self.keep_ttl else max(0, item.left(now))
        flags = reply_to(query).flags | item.flags & (codes.RA | codes.AD)
        if not query.do and not query.message.flags & codes.AD:
            flags &= ~codes.AD
        return item.reply._replace(rcode=item.rcode, flags=flags, **settle(item.reply, ttl))

    # Asking

    async def _fetched(self, query: Query, following: Handler, key: Key) -> Reply:
        return self._taken(await self._asked_for(query, following), query, key)

    async def _asked_for(self, query: Query, following: Handler) -> Reply:
        flags = query.message.flags | codes.AD
        return await following(query._replace(message=query.message._replace(flags=flags)))

    def _taken(self, reply: Reply, query: Query, key: Key) -> Reply:
        """Keep the reply where that is right; what the client gets has the capped TTL."""
        if not reply.made or reply.dropped or reply.stream:
            return reply
        kind = self._kind(query, reply)
        table = self.denial if kind in (NODATA, NXDOMAIN, SERVER_ERROR) else self.success
        ttl = table.lifetime(reply, kind)
        if kind == SERVER_ERROR:
            ttl = int(self.failure_s)
        flags = reply.flags
        if not query.do and not query.message.flags & codes.AD:
            flags &= ~codes.AD
        # The OPT record of the server that was asked goes; the client gets one of its own.
        capped = reply._replace(flags=flags, edns=None, **settle(reply, ttl))
        # What says itself how long it holds is not copied: a copy could only be older.
        if reply.validity is not None:
            return capped._replace(counts=(*reply.counts, self._hit_counter(query, kind)))
        if ttl > 0 and table.keeps(query, reply, kind):
            self._keep(table, key, reply._replace(edns=None), ttl, query)
        return capped

    def _hit_counter(self, query: Query, kind: str) -> Callable[[int, float], None]:
        """Counts what the fast path repeats as upstream's cache would: hits."""
        counters, zones = self.world.counters, ",".join(self.zones)
        name = "denial" if kind in (NODATA, NXDOMAIN, SERVER_ERROR) else "success"
        requests = counters.cache_requests.labels(query.server.name, zones, query.view)
        hits = counters.cache_hits.labels(query.server.name, name, zones, query.view)

        def count(number: int, seconds: float) -> None:
            requests.value += number
            hits.value += number

        return count

    def _kind(self, query: Query, reply: Reply) -> str:
        kind = kind_of(query, reply)
        has_soa = any(record.type == codes.SOA for record in reply.authority)
        if kind == "NOERROR" and has_soa and reply.answer and not answers(query, reply):
            return NODATA
        return kind

    def _keep(self, table: Table[Key], key: Key, reply: Reply, ttl: int, query: Query) -> None:
        counters, server = self.world.counters, query.server.name
        item = Item(reply, ttl, self.world.clock.monotonic(), table is self.success)
        item.wildcard = (query.metadata or {}).get("zone/wildcard")
        zones, view = ",".join(self.zones), query.view
        replaced = table.get(key)
        evicted = table.put(key, item)
        if replaced is not None:
            self.world.changed([self._tag(key)])
        if evicted is not None:
            self.world.changed([self._tag(evicted)])
            name = "success" if table is self.success else "denial"
            counters.cache_evictions.labels(server, name, zones, view).inc()
        if table is self.success and (not self.prefer_positive or answers(query, reply)):
            self._dropped_denial(key)
        counters.cache_entries.labels(server, "success", zones, view).set(len(self.success))
        counters.cache_entries.labels(server, "denial", zones, view).set(len(self.denial))

    def _dropped_denial(self, key: Key) -> None:
        if self.denial.get(key) is not None:
            self.denial.drop(key)
            self.world.changed([self._tag(key)])

    # Refreshing

    def _wants_prefetch(self, item: Item, left: int, now: float) -> bool:
        if not self.prefetch:
            return False
        item.seen(now, self.prefetch_within_s)
        threshold = math.ceil(self.prefetch_percent / 100 * item.ttl)
        return item.hits >= self.prefetch and left <= threshold

    def _refresh(self, query: Query, following: Handler, key: Key, item: Item) -> None:
        """Ask again in the background, once at a time per name."""
        stale = item.left(self.world.clock.monotonic()) <= 0
        if not self._may_refresh(key, recheck=stale):
            return
        # No client waits: nothing may be cut to a datagram's size.
        asked = query._replace(client=query.client._replace(proto="tcp"))
        task = self._asking(asked, following, key, stale=stale)
        self._refreshing[key] = task
        task.add_done_callback(lambda done: self._refreshed(key, done, stale=stale, hits=item.hits))

    def _may_refresh(self, key: Key, *, recheck: bool) -> bool:
        if key in self._refreshing:
            return False
        return not recheck or self._retry_after.get(key, 0.0) <= self.world.clock.monotonic()

    def _asking(
        self, query: Query, following: Handler, key: Key, *, stale: bool
    ) -> asyncio.Task[Reply]:
        task = asyncio.get_running_loop().create_task(
            self._asked_anew(query, following, key, stale=stale)
        )
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        return task

    async def _asked_anew(
        self, query: Query, following: Handler, key: Key, *, stale: bool
    ) -> Reply:
        """What is no better than the stale reply is not kept, unless it may stand beside it."""
        reply = await self._asked_for(query, following)
        if stale and not self.prefer_positive and not self._good(query, reply):
            return reply
        return self._taken(reply, query, key)

    def _refreshed(
        self, key: Key, done: asyncio.Task[Reply], *, stale: bool, hits: int = 0
    ) -> None:
        self._refreshing.pop(key, None)
        failed = done.cancelled() or done.exception() is not None
        if not failed and stale:
            failed = done.result().rcode not in (codes.NOERROR, codes.NXDOMAIN)
        if failed and stale and self.stale_recheck_s:
            self._retry_after[key] = self.world.clock.monotonic() + self.stale_recheck_s
            return
        self._retry_after.pop(key, None)
        fresh = self.denial.get(key) or self.success.get(key)
        if fresh is not None and hits:
            fresh.hits, fresh.first_seen = hits, self.world.clock.monotonic()

    async def _stale(self, query: Query, following: Handler, key: Key, item: Item) -> Reply:
        """An expired reply: verify it first, or send it and ask behind the client's back."""
        if self.stale_verify:
            fresh = await self._verified(query, following, key)
            if fresh is not None:
                return fresh
        else:
            self._refresh(query, following, key, item)
        labels = (query.server.name, ",".join(self.zones), query.view)
        self.world.counters.cache_stale.labels(*labels).inc()
        ttl = self.stale_ttl_s or (item.ttl if self.keep_ttl else 0)
        return self._from_item(item, query, self.world.clock.monotonic(), ttl)

    async def _verified(self, query: Query, following: Handler, key: Key) -> Reply | None:
        """What takes the stale reply's place, if it comes in time."""
        tracked = self.stale_recheck_s > 0
        if tracked and not self._may_refresh(key, recheck=True):
            return None
        task = self._asking(query, following, key, stale=True)
        if tracked:
            self._refreshing[key] = task
            task.add_done_callback(lambda done: self._refreshed(key, done, stale=True))
        done, _ = await asyncio.wait([task], timeout=self.stale_timeout_s or None)
        if not done or not self._good(query, task.result()):
            return None
        if not self.stale_timeout_s:
            return task.result()
        now = self.world.clock.monotonic()
        kept = self._find(key, now)
        fresh = kept is not None and kept.left(now) > 0
        return self._from_item(kept, query, now) if kept and fresh else task.result()

    def _good(self, query: Query, reply: Reply) -> bool:
        """Whether a refresh brought something to replace the old reply with."""
        if not reply.made or reply.flags & codes.TC:
            return False
        kind = self._kind(query, reply)
        if self.prefer_positive:
            return kind == SUCCESS and answers(query, reply)
        fine = reply.rcode in (codes.NOERROR, codes.NXDOMAIN)
        return fine and kind not in (OTHER, META)


def key_of(query: Query) -> Key:
    checking = bool(query.message.flags & codes.CD)
    return query.name, query.type, query.cls, query.do, checking


def setup(args: Args) -> Plugin:
    cache = Cache(args.world, args.block)
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if words and words[0].lstrip("+-").isdigit():
            ttl = _positive(words.pop(0))
            cache.success.max_s = cache.denial.max_s = ttl
        cache.zones = args.zones(words)
        cache.nameless = cache.zones in ((".",), args.block.keys)
        reader = _Reader(args, cache)
        for name in args.properties():
            read: Callable[[], None] | None = getattr(reader, "_do_" + name, None)
            if read is None:
                raise args.wrong_count()
            read()
        reader.check()
    return cache


def _positive(word: str) -> int:
    ttl = whole_number(word)
    if ttl <= 0:
        raise CorefileError(f"cache TTL can not be zero or negative: {ttl}")
    return ttl


class _Reader:
    """The properties; each is a method of its name."""

    def __init__(self, args: Args, cache: Cache) -> None:
        self.args = args
        self.cache = cache
        self.has_stale = False

    def check(self) -> None:
        if self.cache.prefer_positive and not self.has_stale:
            raise CorefileError("serve_stale_policy requires serve_stale")

    def _do_success(self) -> None:
        self._limits(self.cache.success)

    def _do_denial(self) -> None:
        self._limits(self.cache.denial)

    def _limits(self, table: Table[Key]) -> None:
        words = self.args.some()
        table.capacity = max(1, whole_number(words[0]))
        if len(words) > 1:
            table.max_s = _positive(words[1])
        if len(words) > 2:
            table.min_s = whole_number(words[2])
            if table.min_s < 0:
                raise CorefileError(f"cache min TTL can not be negative: {table.min_s}")

    def _do_prefetch(self) -> None:
        words, cache = self.args.some(), self.cache
        if len(words) > 3:
            raise self.args.wrong_count()
        cache.prefetch = whole_number(words[0])
        if cache.prefetch < 0:
            raise CorefileError(f"prefetch amount should be positive: {cache.prefetch}")
        if len(words) > 1:
            cache.prefetch_within_s = self._period(words[1])
        if len(words) > 2:
            if not words[2].endswith("%"):
                raise CorefileError(
                    f"last character of percentage should be `%`, but is: '{words[2][-1]}'"
                )
            cache.prefetch_percent = whole_number(words[2][:-1])
            if not 10 <= cache.prefetch_percent <= 90:
                raise CorefileError(
                    f"percentage should fall in range [10, 90]: {cache.prefetch_percent}"
                )

    def _do_serve_stale(self) -> None:
        self.has_stale = True
        words, cache = self.args.rest(), self.cache
        if len(words) > 5:
            raise self.args.wrong_count()
        cache.stale_s = self._period(words[0]) if words else 3600.0
        if cache.stale_s < 0:
            raise CorefileError("invalid negative duration for serve_stale")
        mode = words[1].lower() if len(words) > 1 else "immediate"
        if mode not in ("immediate", "verify"):
            raise CorefileError(f"invalid value for serve_stale refresh mode: {mode}")
        cache.stale_verify = mode == "verify"
        rest = words[2:]
        if cache.stale_verify and rest:
            cache.stale_timeout_s = self._period(rest.pop(0), "invalid serve_stale verify timeout")
        if rest:
            cache.stale_ttl_s = int(self._period(rest.pop(0), "invalid serve_stale response TTL"))
        if rest:
            cache.stale_recheck_s = self._period(rest.pop(0), "invalid serve_stale failure recheck")
        if rest:
            raise self.args.wrong_count()

    def _do_serve_stale_policy(self) -> None:
        word = self.args.one()
        if word.lower() != "prefer_positive":
            raise CorefileError(f"invalid serve_stale_policy: {word}")
        self.cache.prefer_positive = True

    def _do_servfail(self) -> None:
        seconds = self._period(self.args.one())
        if seconds < 0:
            raise CorefileError("invalid negative ttl for servfail")
        if seconds > 300:
            raise CorefileError("caching SERVFAIL responses over 5 minutes is not permitted")
        self.cache.failure_s = seconds

    def _do_disable(self) -> None:
        words = self.args.some()
        zones = tuple(names.fqdn(word).lower() for word in words[1:]) or (".",)
        if words[0] not in ("success", "denial"):
            raise CorefileError('cache type for disable must be "success" or "denial"')
        table = self.cache.success if words[0] == "success" else self.cache.denial
        table.excepted = zones

    def _do_keepttl(self) -> None:
        self.args.none()
        self.cache.keep_ttl = True

    def _period(self, word: str, what: str = "") -> float:
        try:
            return duration(word)
        except BadDuration as bad:
            raise CorefileError(f"{what}: {bad}" if what else str(bad)) from bad
