"""Replies for names that nobody asked for yet, made from a reply to a name of the same kind.

All A queries for Services of a namespace get the same bytes but for the question and the answer's
owner and address. What the plugin says of a name (`plugin.Family`) and how long its data is decide
which reply is the model; the chain has given every model itself.

    header | question | owner | type class ttl length | data | rest
      ^        query    query           ^               ^       ^
      +---------------------------- the model's --------|-------+
                                                    the plugin's
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.dns.plugin import Family, Outcome
from sampan.dns.rows import HEADER, Row

ONE_QUESTION = b"\0\1"
MAX_LABEL = 63
LONGEST_NAME = 255
FIXED = 10
"""Type, class, TTL and length of a record."""
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-"
Sort = tuple[int, int]
"""The response code and the length of the answer's data."""


@dataclass(slots=True)
class Model:
    """A reply in pieces. Without an answer, `middle` is empty and `rest` all that follows the
    question.
    """

    row: Row
    header: bytes
    """Without the ID."""
    middle: bytes
    rest: bytes

    def reply(self, wire: bytes, end: int, data: bytes) -> bytes:
        """To a query whose name ends at `end`."""
        if not data:
            return wire[:2] + self.header + wire[HEADER : end + 4] + self.rest
        question = wire[HEADER : end + 4]
        return wire[:2] + self.header + question + question[:-4] + self.middle + data + self.rest


@dataclass(slots=True)
class Members:
    """A family with its models; all are of queries that are equal but for their names."""

    family: Family
    models: dict[Sort, Model] = field(default_factory=dict)


def name_ends(wire: bytes) -> list[int]:
    """Where the labels of the question's name end, the root's last; empty for no plain name."""
    pos, size, found = HEADER, len(wire), list[int]()
    while pos < size:
        length = wire[pos]
        if not length:
            found.append(pos + 1)
            return found
        pos += 1 + length
        if length > MAX_LABEL or pos > LONGEST_NAME + HEADER:
            return []
        found.append(pos)
    return []


def key_head(wire: bytes, end: int) -> bytes:
    """What the queries that share a reply have in common but for their names: the header, the
    name's length (which the counters tell), and what follows the name.
    """
    return wire[2:HEADER] + (end - HEADER).to_bytes(2) + wire[end:]


def key_below(wire: bytes, labels: int) -> bytes | None:
    """The key for all longer names that end in as many labels of the query's name."""
    ends = name_ends(wire)
    if not ends or not 0 < labels < len(ends) - 1 or wire[4:6] != ONE_QUESTION:
        return None
    end = ends[-1]
    return None if end + 4 > len(wire) else key_head(wire, end) + wire[ends[-2 - labels] : end]


def label_before(wire: bytes, labels: int) -> tuple[str, bool]:
    """The label in front of the last `labels`, in lower case, and whether it is the first; empty
    where it has characters that no object's name has.
    """
    ends = name_ends(wire)
    number = len(ends) - 2 - labels
    if number < 0:
        return "", False
    start = ends[number - 1] if number else HEADER
    return plain_label(wire[start + 1 : ends[number]]), not number


def plain_label(label: bytes) -> str:
    folded = label.lower()
    return "" if folded.translate(None, PLAIN) else folded.decode()


def model_of(wire: bytes, first: bytes, row: Row, outcome: Outcome) -> Model | None:
    """The pieces of a reply; None where it has something else in place of what the plugin told."""
    end = name_ends(wire)[-1]
    name, rest, data = wire[HEADER:end], first[end + 4 :], outcome.data
    if first[3] & 15 != outcome.rcode or bool(data) != (first[6:8] == b"\0\1"):
        return None
    if not data:
        return Model(row, first[2:HEADER], b"", rest)
    at = len(name) + FIXED
    if not rest.startswith(name) or rest[at - 2 : at + len(data)] != len(data).to_bytes(2) + data:
        return None
    return Model(row, first[2:HEADER], rest[len(name) : at], rest[at + len(data) :])
