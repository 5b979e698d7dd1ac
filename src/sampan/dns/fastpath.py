"""The fast path: replies kept as bytes, found by the bytes of the query.

A row is what the chain answered, for as long as the reply said that it holds; the key is the whole
query but for its ID, so nothing is parsed on a hit, and what is sent is what the chain would send.
A denial that the chain calls true for all names below one is kept once for all of them: searches
ask for ever new names that do not exist. Where the replies to all names below one are alike but for
the answers' data (`families`), they are made without the chain; a name that is asked for again gets
a row of its own.
Rows leave when a tag of theirs changes, when their time is over, or all at once when they are many.

    query --+-- the loop's own table --+-- `find` --+-- the chain
            |   (native)               |            |
            <-------- a row -----------<---- row ---<-- reply, kept by `keep`
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from random import Random

from sampan.dns import codes, names
from sampan.dns.athand import AtHand
from sampan.dns.families import (
    ONE_QUESTION,
    Members,
    Model,
    key_below,
    key_head,
    label_before,
    model_of,
    name_ends,
    plain_label,
    sort_of,
    tail_of,
)
from sampan.dns.plugin import FOREVER, Family, Outcome, Validity
from sampan.dns.rows import ALWAYS, BROAD, HEADER, Count, Hears, Key, Rotation, Row
from sampan.linux.base.datagrams import NewRow, Rows

MAX_ROWS = 1 << 16
MAX_BYTES = 40 << 20
"""What the rows may hold together, roughly: a client that asks for a large set in ever new
spellings must not cost more memory than any other."""
LARGEST_BELOW = 512
"""Denials up to this size have no compression, so that they do not depend on the question."""
MAX_ASKED_ONCE = 1 << 14


class Memo:
    """The rows of one listening address; `loop` is the table of a receive loop that has one."""

    def __init__(
        self, limit: int = MAX_ROWS, loop: Rows | None = None, chance: Random | None = None
    ) -> None:
        self.limit = limit
        self.loop = loop
        self.chance = chance or Random()
        self.rows: dict[bytes, Row] = {}
        self.denials: dict[bytes, Row] = {}
        self.heard: dict[bytes, Row] = {}
        self.families: dict[bytes, Members] = {}
        self.heard_families: dict[bytes, Members] = {}
        self.asked_once: set[bytes] = set()
        """Queries that a row or a family of many answered; those that come again get their own."""
        self.at_hand = AtHand()
        self.generation = 0
        """Goes up with every change; a reply that was begun before a change is not kept."""
        self.era = 0
        """Goes up when a broad tag changes; rows with such a tag hold for their era."""
        self.spent_s = 0.0
        """Time that went into draining datagrams since the last `tell`."""
        self.asked = 0
        self.now = 0.0
        """The time of the batch that is being answered, for those who do not tell it."""
        self.size = 0
        self._tagged: dict[Hashable, set[Key]] = {}
        self._idents: dict[int, Row] = {}
        self._last_ident = 0

    def find(self, wire: bytes, now: float | None = None) -> bytes | None:
        """The reply to a query's bytes, None if the chain must be asked."""
        row = self.rows.get(wire[2:])
        if row is not None and row.firm:
            row.hits += 1
            return wire[:2] + row.first
        if now is None:
            now = self.now
        if row is None:
            return self._below(wire, now) if self.denials or self.families else None
        if row.until < now or (row.era != ALWAYS and row.era != self.era):
            self._forget(Key(wire[2:]))
            return None
        row.hits += 1
        if row.plain:
            return wire[:2] + row.turns[0]
        if self.loop is None:
            return wire[:2] + row.next(now)
        return wire[:2] + self._missing_turn(wire[2:], row, self.loop, now)

    def find_heard(self, wire: bytes, address: str, port: int, now: float) -> bytes | None:
        """The reply to a query that somebody wants to hear of, who is told."""
        key = wire[2:]
        row = self.heard.get(key)
        if row is None:
            found = self._relative(wire, now)
            if found is None:
                return None
            row, reply, name = found
        elif row.until < now or row.era not in (ALWAYS, self.era):
            self._forget(Key(key, heard=True))
            return None
        else:
            row.hits += 1
            reply, name = wire[:2] + (row.first if row.plain else row.next(now)), row.name
        ident = int.from_bytes(wire[:2])
        for hear in row.hears:
            hear(address, port, ident, name)
        return reply

    def _relative(self, wire: bytes, now: float) -> tuple[Row, bytes, str] | None:
        """The reply to a name whose relatives somebody hears of, with the row that tells them, and
        the name.
        """
        ends = name_ends(wire)
        if not ends or ends[-1] + 4 > len(wire) or wire[4:6] != ONE_QUESTION:
            return None
        end, before, families = ends[-1], HEADER, self.heard_families
        head = key_head(wire, end)
        for pos in ends[:-2]:
            members = families.get(head + wire[pos:end])
            if members is not None:
                made = self._of_family(wire, members, (before, pos, end), now)
                if made is None:
                    return None
                row, reply, label = made
                return row, reply, members.name(label, wire[HEADER:before])
            before = pos
        return None

    def _modelled(
        self, members: Members, label: str, front: bytes, now: float
    ) -> tuple[Model, Outcome] | None:
        """What becomes of a name, and the model that its reply is made from."""
        outcome = members.family.outcome(label, front) if label else None
        model = members.models.get(sort_of(outcome)) if outcome else None
        if model is None or outcome is None:
            return None
        row = model.row
        if row.until < now or row.era not in (ALWAYS, self.era):
            return None
        row.hits += 1
        return model, outcome

    def _turned(self, model: Model, outcome: Outcome) -> Sequence[bytes]:
        """The answers, in a new order where that means nothing."""
        if not model.turns:
            return outcome.answers
        chance = self.chance.random  # a third of the time that `shuffle` takes for a few
        return sorted(outcome.answers, key=lambda answer: chance())

    def _missing_turn(self, key: bytes, row: Row, loop: Rows, now: float) -> bytes:
        """The loop asks for rotations that it has not got."""
        row.turn, known = len(row.turns) - 1, len(row.turns)
        reply = row.next(now)
        if len(row.turns) > known:
            loop.turn(key, reply)
        return reply

    def _below(self, wire: bytes, now: float) -> bytes | None:
        """What holds for all names below an end of the query's name, from the longest end on."""
        ends = name_ends(wire)
        if not ends or ends[-1] + 4 > len(wire) or wire[4:6] != ONE_QUESTION:
            return None
        end, before = ends[-1], HEADER
        head, denials, families = key_head(wire, end), self.denials, self.families
        for pos in ends[:-2]:
            key = head + wire[pos:end]
            row = denials.get(key)
            if row is not None and row.until >= now and row.era in (ALWAYS, self.era):
                row.hits += 1
                kept = row.first
                reply = kept[: HEADER - 2] + wire[HEADER : end + 4] + kept[HEADER - 2 :]
                if self.loop is None and row.until == FOREVER and self._again(wire[2:]):
                    self.at_hand.put_twin(wire[2:], reply, row)
                return wire[:2] + reply
            members = families.get(key)
            if members is not None:
                made = self._of_family(wire, members, (before, pos, end), now)
                return made[1] if made else None
            before = pos
        return None

    def _of_family(
        self, wire: bytes, members: Members, at: tuple[int, int, int], now: float
    ) -> tuple[Row, bytes, str] | None:
        """What the chain answered to another name with the same outcome, made to fit this one, with
        the row that counts it and the label that tells the names apart; `at` is where that label
        begins and ends, and the name's end.
        """
        start, stop, end = at
        label = plain_label(wire[start + 1 : stop])
        found = self._modelled(members, label, wire[HEADER:start], now)
        if found is None:
            return None
        model, outcome = found
        answers, extras = self._turned(model, outcome), outcome.extras
        reply = model.reply(wire, end, answers, extras)
        hears = model.row.hears
        below = start > HEADER and outcome.rcode == codes.NXDOMAIN and not hears
        if below or self._again(wire[2:]):
            rotation = None
            if model.turns:
                rotation = (
                    len(answers),
                    lambda turn: model.reply(
                        wire, end, [*answers[turn:], *answers[:turn]], extras
                    )[2:],
                )  # fmt: skip
            validity = self._validity(members.family, label, model.row)
            self.keep(wire, reply, validity, model.row.counts, rotation, hears)
        return model.row, reply, label

    def _again(self, key: bytes) -> bool:
        """Whether this was asked before, as far as that is remembered."""
        if key in self.asked_once:
            return True
        if len(self.asked_once) >= MAX_ASKED_ONCE:
            self.asked_once.clear()
        self.asked_once.add(key)
        return False

    def _validity(self, family: Family, label: str, row: Row) -> Validity:
        """Of one name's reply; of a denied name's also for all names below it."""
        tags = family.tags(label) + (() if row.era == ALWAYS else tuple(BROAD))
        below = family.labels + 1 if row.first[1] & 15 == codes.NXDOMAIN else 0
        return Validity(tags, row.until, below)

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
        tables = (self.rows, self.denials, self.heard, self.families, self.heard_families)
        kept = sum(len(table) for table in tables)
        if kept >= self.limit or self.size >= MAX_BYTES:
            self.clear()
        if validity.family is not None and validity.ages is None:
            self._keep_model(wire, first, validity, counts, hears, turns=rotation is not None)
        key, reply = Key(wire[2:], heard=bool(hears)), first[2:]
        if validity.below_labels and not hears and len(first) <= LARGEST_BELOW:
            found = key_below(wire, validity.below_labels)
            if found:
                key = Key(found, below=True)
                reply = first[2:HEADER] + first[name_ends(wire)[-1] + 4 :]
        self._keep_at(key, reply, validity, counts, rotation, hears)

    def _keep_model(
        self,
        wire: bytes,
        first: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        hears: Hears,
        *,
        turns: bool,
    ) -> None:
        """Let the reply be a model for its family."""
        family = validity.family
        assert family is not None
        label, front = label_before(wire, family.labels)
        outcome = family.outcome(label, front) if label else None
        found = key_below(wire, family.labels) if outcome else None
        if found is None or outcome is None:
            return
        table = self.heard_families if hears else self.families
        members, sort = table.get(found), sort_of(outcome)
        old = members.models.get(sort) if members else None
        row = self._row(first[2:], validity, counts, None)
        row.hears = hears
        if old is not None and (old.row.era, old.row.until) == (row.era, row.until):
            return
        model = model_of(wire, first, row, outcome, turns=turns)
        if model is None:
            return
        if members is None:
            members = table[found] = Members(family, tail_of(wire, family.labels))
            self._tag(family.tags(""), Key(found, heard=bool(hears), family=True))
        if old is not None:
            self._let_go(old.row)
        members.models[sort] = model
        self.size += row.size

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
        row = self._row(reply, validity, counts, rotation)
        if hears:
            row.hears, row.name = hears, names.read_question(b"??" + key.bytes)[0].lower()
        self._table(key)[key.bytes] = row
        self.size += row.size
        if row.make is not None:
            row.make = self._counted(row, row.make)
        if self.loop is not None and not hears:
            self._idents[row.ident] = row
            since, ttl = (row.ages.since, row.ages.ttl) if row.ages is not None else (0.0, 0)
            new = NewRow(
                row.ident, reply, row.until, row.count, row.era != ALWAYS, since, ttl
            )  # fmt: skip
            self.loop.put(key.bytes, key.below, new)
        elif not hears and not key.below:
            self.at_hand.put(key.bytes, row)
        self._tag(validity.tags, key)

    def _row(
        self,
        reply: bytes,
        validity: Validity,
        counts: tuple[Count, ...],
        rotation: Rotation | None,
    ) -> Row:
        self._last_ident = self._last_ident + 1 & 0xFFFFFFFF
        row = Row(self._last_ident, reply, validity, counts, rotation)
        if not BROAD.isdisjoint(validity.tags):
            row.era = self.era
        return row

    def _tag(self, tags: Collection[Hashable], key: Key) -> None:
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
        return self.denials if key.below else self.rows

    def drop(self, tags: Collection[Hashable]) -> None:
        """Forget every reply with one of these tags."""
        self.generation += 1
        if not BROAD.isdisjoint(tags):
            self.era += 1
            self.at_hand.turn_era()
            if self.loop is not None:
                self.loop.turn_era()
        for tag in tags:
            for key in self._tagged.pop(tag, ()):
                self._forget(key)

    def clear(self) -> None:
        self.generation += 1
        self.tell()
        self.at_hand.clear()
        self.rows.clear()
        self.denials.clear()
        self.heard.clear()
        self.families.clear()
        self.heard_families.clear()
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
        self.at_hand.count()
        for row in self._every_row():
            if row.hits:
                self._tell(row)
        self.spent_s, self.asked = 0.0, 0

    def _every_row(self) -> Iterator[Row]:
        for table in (self.rows, self.denials, self.heard):
            yield from table.values()
        for members in (*self.families.values(), *self.heard_families.values()):
            yield from (model.row for model in members.models.values())

    def _forget(self, key: Key) -> None:
        if key.family:
            table = self.heard_families if key.heard else self.families
            members = table.pop(key.bytes, None)
            for model in members.models.values() if members else ():
                self._let_go(model.row)
            return
        row = self._table(key).pop(key.bytes, None)
        if row is None:
            return
        if self.loop is not None and not key.heard:
            row.hits += self.loop.drop(key.bytes, key.below)
            del self._idents[row.ident]
        if key.below:
            self.at_hand.drop_twins()
        elif not key.heard:
            self.at_hand.drop(key.bytes)
        self._let_go(row)

    def _let_go(self, row: Row) -> None:
        self.size -= row.size
        self._tell(row)

    def _tell(self, row: Row) -> None:
        hits, row.hits = row.hits, 0
        if hits:
            each_s = self.spent_s / self.asked if self.asked else 0.0
            for count in row.counts:
                count(hits, each_s)
