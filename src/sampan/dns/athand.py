"""Replies that a receive loop may send as they are, without asking the fast path.

They are rows that end with nothing but a change, and denials of whole subtrees (`Twin`), which are
put into the words of a question that came more than once.
"""

from __future__ import annotations

from sampan.dns.plugin import FOREVER
from sampan.dns.rows import ALWAYS, Row
from sampan.linux.base.datagrams import LONGEST_AT_HAND

MAX_TWINS = 1 << 12


class Twin:
    """The reply to one of the many questions that a row answers; its hits are the row's."""

    __slots__ = ("first", "hits", "row")

    def __init__(self, first: bytes, row: Row) -> None:
        self.first = first
        self.hits = 0
        self.row = row


class AtHand:
    """`firm` replies hold until they are dropped, `dated` ones for this era."""

    def __init__(self) -> None:
        self.firm: dict[bytes, Row] = {}
        self.dated: dict[bytes, Row | Twin] = {}
        self.twins: dict[bytes, Twin] = {}

    def put(self, key: bytes, row: Row) -> None:
        if row.plain and row.until == FOREVER and len(row.first) <= LONGEST_AT_HAND:
            if row.era == ALWAYS:
                self.firm[key] = row
            else:
                self.dated[key] = row

    def put_twin(self, key: bytes, first: bytes, row: Row) -> None:
        if key in self.twins:
            return  # asked for by another way than the loop's, which counts there
        if len(self.twins) >= MAX_TWINS:
            self.drop_twins()
        self.dated[key] = self.twins[key] = Twin(first, row)

    def drop(self, key: bytes) -> None:
        self.firm.pop(key, None)
        self.dated.pop(key, None)

    def drop_twins(self) -> None:
        """When one of their rows goes: they are few, and soon there again."""
        self.count()
        for key in self.twins:
            self.dated.pop(key, None)
        self.twins.clear()

    def turn_era(self) -> None:
        self.count()
        self.twins.clear()
        self.dated.clear()

    def clear(self) -> None:
        self.turn_era()
        self.firm.clear()

    def count(self) -> None:
        """Let the rows have the hits of their twins."""
        for twin in self.twins.values():
            twin.row.hits += twin.hits
            twin.hits = 0
