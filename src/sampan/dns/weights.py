"""The weight file of *loadbalance*: which address comes first how often.

www.example.org
100.64.1.1 3
100.64.1.2 1
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from sampan.dns import codes
from sampan.dns.arguments import BadDuration, duration
from sampan.dns.message import Record
from sampan.dns.names import fqdn
from sampan.dns.rdata import text
from sampan.dns.setup import Args, World

MAX_WEIGHT = 255


@dataclass(slots=True)
class Weights:
    """The file as it was read last; a file that cannot be read leaves the old weights."""

    world: World
    path: str
    reload_s: float
    table: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: tuple[float, int] = (0.0, 0)

    @classmethod
    def from_args(cls, args: Args, words: list[str]) -> Weights:
        """Raises CorefileError."""
        if not words:
            raise args.error("missing weight file argument")
        if len(words) > 1:
            raise args.error("unexpected argument(s)")
        weights = cls(args.world, args.path(words[0]), 30.0)
        for name in args.properties():
            if name != "reload":
                raise args.unknown()
            given = args.rest()
            if len(given) != 1:
                raise args.error(
                    "unexpected argument" if given else "reload duration value is missing"
                )
            try:
                weights.reload_s = duration(given[0])
            except BadDuration:
                raise args.error(f"invalid reload duration '{given[0]}'") from None
        return weights

    def ordered(self, name: str, answer: tuple[Record, ...]) -> tuple[Record, ...]:
        """The answer with one address in front, chosen by weight; without a weight it is 1."""
        table = self.table.get(name, {})
        addresses = [r for r in answer if r.type in (codes.A, codes.AAAA)]
        if len(addresses) < 2:
            return answer
        weights = [table.get(text(r), 1) for r in addresses]
        first = self.world.chance.choices(addresses, weights)[0]
        rest = [r for r in addresses if r is not first]
        others = tuple(r for r in answer if r.type not in (codes.A, codes.AAAA))
        return (*others, first, *rest)

    def read(self) -> None:
        try:
            stat = os.stat(self.path)
            if (stat.st_mtime, stat.st_size) == self.seen:
                return
            with open(self.path, encoding="utf-8") as file:
                self.table = parsed(file.read())
            self.seen = (stat.st_mtime, stat.st_size)
        except (OSError, ValueError) as bad:
            self.world.log.warning(f"plugin/loadbalance: {self.path}: {bad}")

    async def keep_current(self) -> None:
        while self.reload_s > 0:
            await self.world.clock.sleep(self.reload_s)
            self.read()


def parsed(content: str) -> dict[str, dict[str, int]]:
    """Names to addresses to weights. Raises ValueError."""
    table: dict[str, dict[str, int]] = {}
    current: dict[str, int] | None = None
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) == 1:
            current = table.setdefault(fqdn(words[0]).lower(), {})
        elif len(words) == 2 and current is not None:
            weight = int(words[1])
            if not 0 < weight <= MAX_WEIGHT:
                raise ValueError(f"wrong weight at line {number}: {words[1]}")
            current[words[0]] = weight
        elif words:
            raise ValueError(f"wrong line {number}: {line}")
    return table
