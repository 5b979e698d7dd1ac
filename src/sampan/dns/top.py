"""Who asks most, and for what: counted while somebody looks, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter

from sampan.dns import names

SHOWN = 40
KEPT = 4096


class Most:
    """Counts by name in bounded memory: where names are ever new (an attack, a broken client),
    those seen least are forgotten again, and what they may have had is told.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.total = 0
        self.missing = 0
        """No name that is not shown, and no count that is, lacks more than this."""

    def add(self, name: str) -> None:
        self.total += 1
        self.counts[name] += 1
        if len(self.counts) > self.limit:
            kept = self.counts.most_common(self.limit // 2 + 1)
            self.missing += kept.pop()[1]
            self.counts = Counter(dict(kept))

    def merge(self, other: Most) -> None:
        self.total += other.total
        self.missing += other.missing
        self.counts.update(other.counts)

    def table(self) -> str:
        note = f"           each may be {self.missing} more\n" if self.missing else ""
        return table(self.counts) + note


class Top:
    """Clients and names; `dump` and `add` carry them between processes."""

    def __init__(self) -> None:
        self.clients, self.asked = Most(), Most()

    def tap(self, wire: bytes, client: str) -> None:
        """One query."""
        self.clients.add(client)
        try:
            self.asked.add(names.read(wire, 12)[0].lower())
        except names.BadName:
            self.asked.add("(unreadable)")

    def dump(self) -> str:
        return json.dumps([[m.total, m.missing, m.counts] for m in (self.clients, self.asked)])

    def add(self, text: str) -> None:
        """What another process has counted. Raises ValueError for what is no dump."""
        for mine, (total, missing, counts) in zip(
            (self.clients, self.asked), json.loads(text), strict=True
        ):
            other = Most()
            other.total, other.missing, other.counts = total, missing, Counter(counts)
            mine.merge(other)

    def text(self, seconds: float) -> str:
        shown = f"{self.clients.table()}\n{self.asked.table()}"
        return f"{self.clients.total} queries in {seconds:g} s\n\n{shown}"


def table(counter: Counter[str]) -> str:
    return "".join(f"{count:>10} {name}\n" for name, count in counter.most_common(SHOWN))
