"""The table behind *cache*: replies by question, bounded, with the rules of what may be kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from sampan.dns import codes, names
from sampan.dns.classify import META, NODATA, NXDOMAIN, OTHER, SUCCESS
from sampan.dns.message import Record, read_names
from sampan.dns.plugin import Query, Reply

K = TypeVar("K", bound=Hashable)
FAILSAFE_S = 5
"""How long a reply without any record is kept."""


class Item:
    """One kept reply; times are the monotonic clock's."""

    __slots__ = ("first_seen", "hits", "positive", "reply", "stored", "ttl", "wildcard")

    def __init__(self, reply: Reply, ttl: int, now: float, positive: bool) -> None:
        self.reply = reply
        self.ttl = ttl
        self.stored = now
        self.positive = positive
        self.hits = 0
        self.first_seen = now
        self.wildcard: Callable[[], str] | None = None
        """What *file* told *metadata* of it."""

    @property
    def rcode(self) -> int:
        return self.reply.rcode

    @property
    def flags(self) -> int:
        return self.reply.flags

    def left(self, now: float) -> int:
        """Seconds until it expires; negative when it has."""
        return self.ttl - int(now - self.stored)

    def seen(self, now: float, within_s: float) -> None:
        """Count a hit; the count starts anew when the name was not asked for long."""
        if now - self.first_seen > within_s:
            self.hits = 0
        self.first_seen = now
        self.hits += 1


class Table(Generic[K]):
    """Replies of one sort. Full, it lets go of what was kept first."""

    def __init__(self, capacity: int, max_s: int, min_s: int) -> None:
        self.capacity = capacity
        self.max_s = max_s
        self.min_s = min_s
        self.excepted: tuple[str, ...] = ()
        self._items: dict[K, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> Item | None:
        return self._items.get(key)

    def drop(self, key: K) -> None:
        self._items.pop(key, None)

    def put(self, key: K, item: Item) -> K | None:
        """The key of another that had to go."""
        self._items.pop(key, None)
        self._items[key] = item
        if len(self._items) > self.capacity:
            first = next(iter(self._items))
            del self._items[first]
            return first
        return None

    def lifetime(self, reply: Reply, kind: str) -> int:
        """The lowest TTL of the reply, within the limits."""
        return min(max(self._lowest(reply, kind), self.min_s), self.max_s)

    def _lowest(self, reply: Reply, kind: str) -> int:
        records = (*reply.answer, *reply.authority, *reply.additional)
        if kind not in (SUCCESS, NXDOMAIN, NODATA) or not records:
            return FAILSAFE_S
        return min(self.max_s, *(record.ttl for record in records))

    def keeps(self, query: Query, reply: Reply, kind: str) -> bool:
        """Nothing that was cut, no errors but SERVFAIL, no denial without its SOA."""
        if reply.flags & codes.TC or kind in (OTHER, META):
            return False
        has_soa = any(record.type == codes.SOA for record in reply.authority)
        if kind == NXDOMAIN and not has_soa:
            return False
        if kind == SUCCESS and not has_soa and reply.answer and not answers(query, reply):
            return False
        return not names.longest_zone(query.name, self.excepted)


def answers(query: Query, reply: Reply) -> bool:
    """Whether the answer section holds the type at the end of its chain of aliases; a chain that
    forks or goes round has no end.
    """
    if not reply.answer or reply.rcode:
        return False
    found = [record for record in reply.answer if query.cls in (record.cls, codes.CLASSES["ANY"])]
    name, seen = query.name, set[str]()
    if query.type == codes.ANY:
        return any(record.name.lower() == name for record in found)
    while name not in seen:
        seen.add(name)
        here = [record for record in found if record.name.lower() == name]
        targets = {read_names(r)[0].lower() for r in here if r.type == codes.CNAME}
        if len(targets) > 1:
            return False
        if query.type == codes.CNAME:
            return bool(targets)
        if not targets:
            return any(record.type == query.type for record in here)
        name = targets.pop()
    return False


def settle(reply: Reply, ttl: int) -> dict[str, Any]:
    """The sections with one TTL for all records."""
    return {
        "answer": _settled(reply.answer, ttl),
        "authority": _settled(reply.authority, ttl),
        "additional": _settled(reply.additional, ttl),
    }


def _settled(records: tuple[Record, ...], ttl: int) -> tuple[Record, ...]:
    if all(record.ttl == ttl for record in records):
        return records
    return tuple(record._replace(ttl=ttl) for record in records)
