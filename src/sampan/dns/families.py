"""Replies for names that nobody asked for yet, made from a reply to a name of the same kind.

All A queries for Services of a namespace get the same bytes but for the question and the answers'
owner and addresses. What the plugin says of a name (`plugin.Family`) and how much that is decide
which reply is the model; the chain has given every model itself.

    header | question | owner | type class ttl | data ... owner type | class ttl | data ... | rest
      ^        query    query         ^           ^           ^            ^         ^         ^
      +------------------------ the model's ------|-----------|------------+---------|---------+
                                                  +----- the plugin's ---------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from sampan.dns import codes, names
from sampan.dns.plugin import Family, Outcome
from sampan.dns.rows import HEADER, Row

ONE_QUESTION = b"\0\1"
MAX_LABEL = 63
LONGEST_NAME = 255
HEAD, EXTRA_HEAD = 8, 6
"""Of an answer: type, class and TTL; of an additional record: class and TTL."""
OPT = b"\0" + codes.OPT.to_bytes(2)
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-"
Sort = tuple[int, int, int, int]


def sort_of(outcome: Outcome) -> Sort:
    """What replies with one model have in common: the response code, the number of records and
    their size, since a reply of another size could be cut or counted otherwise.
    """
    rcode, answers, extras = outcome
    size = sum(map(len, answers)) + sum(map(len, extras))
    return rcode, len(answers), len(extras), size


@dataclass(slots=True)
class Model:
    """A reply in pieces. Without an answer, `rest` is all that follows the question."""

    row: Row
    header: bytes
    """Without the ID."""
    head: bytes
    extra_head: bytes
    """Empty where additional records are left out."""
    rest: bytes
    turns: bool
    """The order of the answers means nothing."""

    def reply(
        self, wire: bytes, end: int, answers: Sequence[bytes], extras: Sequence[bytes]
    ) -> bytes:
        """To a query whose name ends at `end`."""
        question = wire[HEADER : end + 4]
        if not answers:
            return wire[:2] + self.header + question + self.rest
        owner = question[:-4] + self.head
        body = question + owner + owner.join(answers)
        if self.extra_head:
            body += self.extra_head.join(extras)
        return wire[:2] + self.header + body + self.rest


@dataclass(slots=True)
class Members:
    """A family with its models; all are of queries that are equal but for their names."""

    family: Family
    tail: str
    """What the names have in common, in lower case."""
    models: dict[Sort, Model] = field(default_factory=dict)

    def name(self, label: str, front: bytes) -> str:
        """A member's, in lower case; `front` is what stands before the label."""
        return f"{_text(front)}{label}.{self.tail}"


@lru_cache(maxsize=1 << 10)
def _text(labels: bytes) -> str:
    return names.read(labels + b"\0", 0)[0].lower() if labels else ""


def tail_of(wire: bytes, labels: int) -> str:
    """The last labels of the question's name, in lower case."""
    name = names.read_question(wire)[0].lower()
    return ".".join(names.split(name)[-labels:]) + "."


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


def label_before(wire: bytes, labels: int) -> tuple[str, bytes]:
    """The label in front of the last `labels`, in lower case, and the labels in front of it; empty
    where it has characters that no object's name has.
    """
    ends = name_ends(wire)
    number = len(ends) - 2 - labels
    if number < 0:
        return "", b""
    start = ends[number - 1] if number else HEADER
    return plain_label(wire[start + 1 : ends[number]]), wire[HEADER:start]


def plain_label(label: bytes) -> str:
    folded = label.lower()
    return "" if folded.translate(None, PLAIN) else folded.decode()


def model_of(wire: bytes, first: bytes, row: Row, outcome: Outcome, *, turns: bool) -> Model | None:
    """The pieces of a reply; None where it has something else in place of what the plugin told."""
    end = name_ends(wire)[-1]
    name, rest, (rcode, answers, extras) = wire[HEADER:end], first[end + 4 :], outcome
    if first[3] & 15 != rcode or int.from_bytes(first[6:8]) != len(answers):
        return None
    model = Model(row, first[2:HEADER], b"", b"", rest, turns)
    if not answers:
        return model
    model.head = rest[len(name) : len(name) + HEAD]
    expected = [name + model.head + data for data in answers]
    size = sum(map(len, expected))
    if not same(rest[:size], expected, turns):
        return None
    model.rest = rest = rest[size:]
    if not extras or not rest or (rest.startswith(OPT) and len(rest) == opt_size(rest)):
        return model  # none were told, or a plugin left them out
    model.extra_head = rest[len(extras[0]) : len(extras[0]) + EXTRA_HEAD]
    body = model.extra_head.join(extras)
    model.rest = rest[len(body) :]
    return model if rest.startswith(body) else None


def same(found: bytes, expected: list[bytes], turns: bool) -> bool:
    """Whether these are the records, in any order where that means nothing."""
    if not turns:
        return found == b"".join(expected)
    size = len(expected[0])
    return sorted(found[i : i + size] for i in range(0, len(found), size)) == sorted(expected)


def opt_size(rest: bytes) -> int:
    """The length of the OPT record in front."""
    return len(OPT) + HEAD + int.from_bytes(rest[len(OPT) + EXTRA_HEAD : len(OPT) + HEAD])
