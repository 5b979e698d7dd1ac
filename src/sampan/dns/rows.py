"""Replies kept as bytes: one row each, with what is needed to send it again and to count that."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sampan.dns import codes
from sampan.dns.plugin import FOREVER, Hear, Validity

ROW_BYTES, RECORD_BYTES = 900, 300
"""What a row costs beside its bytes, and each record that its rotations are made from."""
BROAD = frozenset(("serial",))
"""Tags of so many rows that letting go of each would keep answers waiting: the rows stay where
they are, are not sent any more, and make room when the same is asked again.
"""
HEADER = 12
ALWAYS = -1
POINTER = 0xC0
"""What a pointer to another name begins with."""
Count = Callable[[int, float], None]
"""Takes a number of repeated replies and the seconds that one of them took."""
Hears = tuple[Hear, ...]
Rotation = tuple[int, Callable[[int], bytes]]


class Key(NamedTuple):
    """`below`: for every name with the same end. `heard`: somebody hears of each hit. `family`: for
    the models of names with the same end.
    """

    bytes: bytes
    below: bool = False
    heard: bool = False
    family: bool = False


class Row:
    """One kept reply, without the ID. With `make` there are `count` rotations of it, rendered one
    by one as they are asked for. `hits` are those since last told.
    """

    __slots__ = (
        "ages", "count", "counts", "era", "firm", "first", "hears", "hits", "ident", "lefts",
        "make", "name", "plain", "size", "turn", "turns", "until",
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
        self.first = first
        self.firm = self.plain and validity.until == FOREVER and BROAD.isdisjoint(validity.tags)
        """It is sent as it is until it is dropped."""
        self.era = ALWAYS
        self.counts = counts
        self.hears: Hears = ()
        self.name = ""
        """The name asked for, for those who hear of it."""
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
