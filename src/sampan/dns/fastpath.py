"""The fast path: replies kept as bytes, found by the bytes of the query.

A row is what the chain answered, for as long as the reply said that it holds; the key is the whole
query but for its ID, so nothing is parsed on a hit, and what is sent is what the chain would send.
Rows leave when a tag of theirs changes, when their time is over, or all at once when they are many.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from sampan.dns.plugin import Validity

MAX_ROWS = 1 << 16
MAX_BYTES = 40 << 20
"""What the rows may hold together, roughly: a client that asks for a large set in ever new
spellings must not cost more memory than any other."""
ROW_BYTES, RECORD_BYTES = 900, 300
"""What a row costs beside its bytes, and each record that its rotations are made from."""
Count = Callable[[int, float], None]
"""Takes a number of repeated replies and the seconds that one of them took."""


class Row:
    """One kept reply, without the ID. With `make` there are `count` rotations of it, rendered one
    by one as they are asked for. `hits` are those since last told.
    """

    __slots__ = ("count", "counts", "hits", "make", "size", "turn", "turns", "until")

    def __init__(
        self,
        first: bytes,
        until: float,
        counts: tuple[Count, ...],
        rotation: tuple[int, Callable[[int], bytes]] | None,
    ) -> None:
        self.turns = [first]
        self.count = rotation[0] if rotation else 1
        self.make = rotation[1] if rotation else None
        self.turn = 0
        self.until = until
        self.counts = counts
        self.hits = 0
        self.size = ROW_BYTES + len(first) + (RECORD_BYTES * self.count if rotation else 0)

    def next(self) -> bytes:
        """The next rotation."""
        self.turn = turn = (self.turn + 1) % self.count
        if turn == len(self.turns) and self.make is not None:
            self.turns.append(self.make(turn))
        return self.turns[turn]


class Memo:
    """The rows of one listening address."""

    def __init__(self, limit: int = MAX_ROWS) -> None:
        self.limit = limit
        self.rows: dict[bytes, Row] = {}
        self.generation = 0
        """Goes up with every change; a reply that was begun before a change is not kept."""
        self.spent_s = 0.0
        """Time that went into draining datagrams since the last `tell`."""
        self.asked = 0
        self.size = 0
        self._tagged: dict[Hashable, set[bytes]] = {}

    def find(self, wire: bytes, now: float) -> bytes | None:
        """The reply to a query's bytes, None if the chain must be asked."""
        row = self.rows.get(wire[2:])
        if row is None:
            return None
        if row.until < now:
            self._forget(wire[2:])
            return None
        row.hits += 1
        if row.make is None:
            return wire[:2] + row.turns[0]
        return wire[:2] + row.next()

    def keep(
        self,
        wire: bytes,
        first: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        rotation: tuple[int, Callable[[int], bytes]] | None = None,
    ) -> None:
        """`wire` is the query, `first` the reply."""
        if len(self.rows) >= self.limit or self.size >= MAX_BYTES:
            self.clear()
        key = wire[2:]
        self._forget(key)
        row = self.rows[key] = Row(first[2:], validity.until, counts, rotation)
        self.size += row.size
        if row.make is not None:
            row.make = self._counted(row, row.make)
        for tag in validity.tags:
            self._tagged.setdefault(tag, set()).add(key)

    def _counted(self, row: Row, make: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Rotations are made one by one, and paid for then."""

        def counted(turn: int) -> bytes:
            made = make(turn)
            row.size += len(made)
            self.size += len(made)
            return made

        return counted

    def drop(self, tags: Iterable[Hashable]) -> None:
        """Forget every reply with one of these tags."""
        self.generation += 1
        for tag in tags:
            for key in self._tagged.pop(tag, ()):
                self._forget(key)

    def clear(self) -> None:
        self.generation += 1
        self.tell()
        self.rows.clear()
        self._tagged.clear()
        self.size = 0

    def tell(self) -> None:
        """Let those who count know of the hits since the last time."""
        for row in self.rows.values():
            self._tell(row)
        self.spent_s, self.asked = 0.0, 0

    def _forget(self, key: bytes) -> None:
        row = self.rows.pop(key, None)
        if row is not None:
            self.size -= row.size
            self._tell(row)

    def _tell(self, row: Row) -> None:
        hits, row.hits = row.hits, 0
        if hits:
            each_s = self.spent_s / self.asked if self.asked else 0.0
            for count in row.counts:
                count(hits, each_s)
