"""The fast path: replies kept as bytes, found by the bytes of the query.

A row is what the chain answered, for as long as the reply said that it holds; the key is the whole
query but for its ID, so nothing is parsed on a hit, and what is sent is what the chain would send.
A denial that the chain calls true for all names below one is kept once for all of them: searches
ask for ever new names that do not exist. So is one that holds wherever a label is not known; there
each name is looked at (`known`), and gets a row of its own when it is asked for again.
Rows leave when a tag of theirs changes, when their time is over, or all at once when they are many.

    query --+-- the loop's own table --+-- `find` --+-- the chain
            |   (native)               |            |
            <-------- a row -----------<---- row ---<-- reply, kept by `keep`
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from typing import NamedTuple

from sampan.dns import codes
from sampan.dns.plugin import Absent, Client, Validity
from sampan.linux.base.datagrams import NewRow, Rows

MAX_ROWS = 1 << 16
MAX_BYTES = 40 << 20
"""What the rows may hold together, roughly: a client that asks for a large set in ever new
spellings must not cost more memory than any other."""
ROW_BYTES, RECORD_BYTES = 900, 300
"""What a row costs beside its bytes, and each record that its rotations are made from."""
HEADER = 12
BROAD = frozenset(("serial",))
"""Tags of so many rows that letting go of each would keep answers waiting: the rows stay where
they are, are not sent any more, and make room when the same is asked again.
"""
LARGEST_BELOW = 512
"""Replies up to this size have no compression, so that they do not depend on the question."""
ALWAYS = -1
POINTER = 0xC0
"""What a pointer to another name begins with."""
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-"
MAX_ASKED_ONCE = 1 << 14
Count = Callable[[int, float], None]
"""Takes a number of repeated replies and the seconds that one of them took."""
Hears = tuple[Callable[[Client, int], None], ...]
Rotation = tuple[int, Callable[[int], bytes]]


class Key(NamedTuple):
    """`below`: for every name with the same end. `heard`: somebody hears of each hit. `absent`: for
    names with the same end and an unknown label in front of it.
    """

    bytes: bytes
    below: bool = False
    heard: bool = False
    absent: bool = False


class Row:
    """One kept reply, without the ID. With `make` there are `count` rotations of it, rendered one
    by one as they are asked for. `hits` are those since last told.
    """

    __slots__ = (
        "absent", "ages", "count", "counts", "era", "hears", "hits", "ident", "lefts", "make",
        "plain", "size", "turn", "turns", "until",
    )  # fmt: skip

    def __init__(
        self,
        ident: int,
        first: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        rotation: Rotation | None,
    ) -> None:
        self.ident = ident
        self.turns = [first]
        self.count = rotation[0] if rotation else 1
        self.make = rotation[1] if rotation else None
        self.turn = 0
        self.until = validity.until
        self.ages = validity.ages
        self.lefts: dict[int, int] = {}
        """The TTL that stands in each rotation."""
        self.plain = rotation is None and validity.ages is None
        self.era = ALWAYS
        self.counts = counts
        self.hears: Hears = ()
        self.absent: Absent | None = None
        self.hits = 0
        self.size = ROW_BYTES + len(first) + (RECORD_BYTES * self.count if rotation else 0)

    def next(self, now: float) -> bytes:
        """The next rotation, with the TTL that is left of it."""
        self.turn = turn = (self.turn + 1) % self.count
        if turn == len(self.turns) and self.make is not None:
            self.turns.append(self.make(turn))
        return self.turns[turn] if self.ages is None else self._aged(turn, self.ages.left(now))

    def _aged(self, turn: int, left: int) -> bytes:
        if self.lefts.get(turn) != left:
            self.lefts[turn] = left
            self.turns[turn] = with_ttl(self.turns[turn], left)
        return self.turns[turn]


class Memo:
    """The rows of one listening address; `loop` is the table of a receive loop that has one."""

    def __init__(self, limit: int = MAX_ROWS, loop: Rows | None = None) -> None:
        self.limit = limit
        self.loop = loop
        self.rows: dict[bytes, Row] = {}
        self.denials: dict[bytes, Row] = {}
        self.heard: dict[bytes, Row] = {}
        self.absent: dict[bytes, Row] = {}
        self.asked_once: set[bytes] = set()
        """Names that an absent row answered; those asked for again get rows of their own."""
        self.generation = 0
        """Goes up with every change; a reply that was begun before a change is not kept."""
        self.era = 0
        """Goes up when a broad tag changes; rows with such a tag hold for their era."""
        self.spent_s = 0.0
        """Time that went into draining datagrams since the last `tell`."""
        self.asked = 0
        self.size = 0
        self._tagged: dict[Hashable, set[Key]] = {}
        self._idents: dict[int, Row] = {}
        self._last_ident = 0

    def find(self, wire: bytes, now: float) -> bytes | None:
        """The reply to a query's bytes, None if the chain must be asked."""
        row = self.rows.get(wire[2:])
        if row is None:
            return self._denial(wire, now) if self.denials or self.absent else None
        if row.until < now or (row.era != ALWAYS and row.era != self.era):
            self._forget(Key(wire[2:]))
            return None
        row.hits += 1
        if row.plain:
            return wire[:2] + row.turns[0]
        if self.loop is None:
            return wire[:2] + row.next(now)
        return wire[:2] + self._missing_turn(wire[2:], row, self.loop, now)

    def find_heard(self, wire: bytes, client: Client, now: float) -> bytes | None:
        """The reply to a query that somebody wants to hear of, who is told."""
        row = self.heard.get(wire[2:])
        if row is None or row.until < now or row.era not in (ALWAYS, self.era):
            return None
        row.hits += 1
        for hear in row.hears:
            hear(client, int.from_bytes(wire[:2]))
        return wire[:2] + row.next(now)

    def _missing_turn(self, key: bytes, row: Row, loop: Rows, now: float) -> bytes:
        """The loop asks for rotations that it has not got."""
        row.turn, known = len(row.turns) - 1, len(row.turns)
        reply = row.next(now)
        if len(row.turns) > known:
            loop.turn(key, reply)
        return reply

    def _denial(self, wire: bytes, now: float) -> bytes | None:
        for key, label in keys_below(wire):
            row = self.denials.get(key)
            if row is not None and row.until >= now and row.era in (ALWAYS, self.era):
                row.hits += 1
                return _with_question(wire, row.turns[0])
            row = self.absent.get(key)
            if row is not None and row.until >= now and row.era in (ALWAYS, self.era):
                return self._absent(wire, row, label)
        return None

    def _absent(self, wire: bytes, row: Row, label: bytes) -> bytes | None:
        """The denial, unless something may be there after all."""
        absent = row.absent
        folded = label.lower()
        if absent is None or folded.translate(None, PLAIN) or absent.known(folded.decode()):
            return None
        row.hits += 1
        reply = _with_question(wire, row.turns[0])
        if wire[2:] in self.asked_once or wire[HEADER + 1 : HEADER + 1 + wire[HEADER]] != label:
            validity = Validity(absent.tags(folded.decode()), row.until, absent.labels + 1)
            self.keep(wire, reply, validity, row.counts)
        elif len(self.asked_once) < MAX_ASKED_ONCE:
            self.asked_once.add(wire[2:])
        else:
            self.asked_once.clear()
        return reply

    def keep(
        self,
        wire: bytes,
        first: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        rotation: Rotation | None = None,
        hears: Hears = (),
    ) -> None:
        """`wire` is the query, `first` the reply."""
        kept = sum(map(len, (self.rows, self.denials, self.heard, self.absent)))
        if kept >= self.limit or self.size >= MAX_BYTES:
            self.clear()
        if validity.absent is not None and not hears and len(first) <= LARGEST_BELOW:
            self._keep_absent(wire, first, validity, counts)
        key, reply = Key(wire[2:], heard=bool(hears)), first[2:]
        if validity.below_labels and not hears and len(first) <= LARGEST_BELOW:
            found = key_below(wire, validity.below_labels)
            if found:
                key = Key(found, below=True)
                reply = first[2:HEADER] + first[name_end(wire) + 4 :]
        self._keep_at(key, reply, validity, counts, rotation, hears)

    def _keep_absent(
        self, wire: bytes, first: bytes, validity: Validity, counts: tuple[Count, ...]
    ) -> None:
        assert validity.absent is not None
        found = key_below(wire, validity.absent.labels)
        if found:
            key, reply = Key(found, absent=True), first[2:HEADER] + first[name_end(wire) + 4 :]
            self._keep_at(key, reply, validity, counts, None, ())

    def _keep_at(
        self,
        key: Key,
        reply: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        rotation: Rotation | None,
        hears: Hears,
    ) -> None:
        self._forget(key)
        self._last_ident = self._last_ident + 1 & 0xFFFFFFFF
        row = Row(self._last_ident, reply, validity, counts, rotation)
        row.hears = hears
        row.absent = validity.absent if key.absent else None
        if not BROAD.isdisjoint(validity.tags):
            row.era = self.era
        self._table(key)[key.bytes] = row
        self.size += row.size
        if row.make is not None:
            row.make = self._counted(row, row.make)
        if self.loop is not None and not (hears or key.absent):
            self._idents[row.ident] = row
            since, ttl = (row.ages.since, row.ages.ttl) if row.ages is not None else (0.0, 0)
            new = NewRow(
                row.ident, reply, row.until, row.count, row.era != ALWAYS, since, ttl
            )  # fmt: skip
            self.loop.put(key.bytes, key.below, new)
        tags = validity.tags if row.absent is None else row.absent.tags("")
        for tag in tags:
            if tag not in BROAD:
                self._tagged.setdefault(tag, set()).add(key)

    def _counted(self, row: Row, make: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Rotations are made one by one, and paid for then."""

        def counted(turn: int) -> bytes:
            made = make(turn)
            row.size += len(made)
            self.size += len(made)
            return made

        return counted

    def _table(self, key: Key) -> dict[bytes, Row]:
        if key.heard:
            return self.heard
        if key.absent:
            return self.absent
        return self.denials if key.below else self.rows

    def drop(self, tags: Collection[Hashable]) -> None:
        """Forget every reply with one of these tags."""
        self.generation += 1
        if not BROAD.isdisjoint(tags):
            self.era += 1
            if self.loop is not None:
                self.loop.turn_era()
        for tag in tags:
            for key in self._tagged.pop(tag, ()):
                self._forget(key)

    def clear(self) -> None:
        self.generation += 1
        self.tell()
        self.rows.clear()
        self.denials.clear()
        self.heard.clear()
        self.absent.clear()
        self.asked_once.clear()
        self._tagged.clear()
        self._idents.clear()
        self.size = 0
        if self.loop is not None:
            self.loop.clear()

    def tell(self) -> None:
        """Let those who count know of the hits since the last time."""
        if self.loop is not None:
            for ident, hits in self.loop.hits():
                self._idents[ident].hits += hits
        for table in (self.rows, self.denials, self.heard, self.absent):
            for row in table.values():
                if row.hits:
                    self._tell(row)
        self.spent_s, self.asked = 0.0, 0

    def _forget(self, key: Key) -> None:
        row = self._table(key).pop(key.bytes, None)
        if row is None:
            return
        self.size -= row.size
        if self.loop is not None and not (key.heard or key.absent):
            row.hits += self.loop.drop(key.bytes, key.below)
            del self._idents[row.ident]
        self._tell(row)

    def _tell(self, row: Row) -> None:
        hits, row.hits = row.hits, 0
        if hits:
            each_s = self.spent_s / self.asked if self.asked else 0.0
            for count in row.counts:
                count(hits, each_s)


def with_ttl(reply: bytes, ttl: int) -> bytes:
    """A reply without its ID, with this TTL in all its records."""
    out, value = bytearray(reply), ttl.to_bytes(4)
    pos, counts = HEADER - 2, [int.from_bytes(reply[i : i + 2]) for i in (2, 4, 6, 8)]
    for number in range(sum(counts)):
        while 0 < out[pos] < POINTER:
            pos += 1 + out[pos]
        pos += 2 if out[pos] else 1
        if number < counts[0]:
            pos += 4
            continue
        if int.from_bytes(out[pos : pos + 2]) != codes.OPT:
            out[pos + 4 : pos + 8] = value
        pos += 10 + int.from_bytes(out[pos + 8 : pos + 10])
    return bytes(out)


def name_end(wire: bytes) -> int:
    """Where the question's name ends; 0 where it is not a plain name."""
    pos, size = HEADER, len(wire)
    while pos < size and wire[pos]:
        if wire[pos] > 63 or pos > 255:
            return 0
        pos += 1 + wire[pos]
    return pos + 1 if pos < size else 0


def _with_question(wire: bytes, reply: bytes) -> bytes:
    end = name_end(wire) + 4
    return wire[:2] + reply[: HEADER - 2] + wire[HEADER:end] + reply[HEADER - 2 :]


def keys_below(wire: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys that a denial of the query may lie under, from the longest end of its name on:
    the header, the name's length (which the counters tell), what follows the name, the end; and
    with each the label in front of that end.
    """
    end = name_end(wire)
    if not end or end + 4 > len(wire) or wire[4:6] != b"\0\1":
        return
    fixed = wire[2:HEADER] + (end - HEADER).to_bytes(2) + wire[end:]
    pos = HEADER
    while wire[pos]:
        at = pos + 1
        pos = at + wire[pos]
        if wire[pos]:
            yield fixed + wire[pos:end], wire[at:pos]


def key_below(wire: bytes, labels: int) -> bytes | None:
    """The key for all names that end in as many labels of the query's name."""
    found = list(keys_below(wire))
    return found[-labels][0] if 0 < labels <= len(found) else None
