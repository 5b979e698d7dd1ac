"""The weight file of *loadbalance*: which address comes first how often.

www.example.org
100.64.1.1 3
100.64.1.2 1
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address

from sampan.dns import codes
from sampan.dns.arguments import BadDuration, duration, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.names import fqdn
from sampan.dns.rdata import text
from sampan.dns.setup import Args, World, is_domain

MAX_WEIGHT = 255
NEVER = (0.0, 0)


class CannotOpen(Exception):
    """The weight file is not there, or not for us."""


@dataclass(slots=True)
class Weights:
    """The file as it was read last; a file that cannot be read leaves the old weights."""

    world: World
    path: str
    reload_s: float
    table: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: tuple[float, int] = NEVER

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
        """Raises CannotOpen and ValueError."""
        try:
            stat = os.stat(self.path)
            if (stat.st_mtime, stat.st_size) == self.seen:
                return
            with open(self.path, encoding="utf-8") as file:
                self.table = parsed(file.read(), self.path)
        except OSError:
            raise CannotOpen("weight file open error") from None
        again = self.seen != NEVER
        self.seen = (stat.st_mtime, stat.st_size)
        if again:
            self.world.log.info(
                f"plugin/loadbalance: Successfully reloaded weight file {self.path}"
            )

    def begin(self) -> None:
        """Raises CorefileError; a file that may yet appear is waited for."""
        try:
            self.read()
        except CannotOpen as bad:
            if not self.reload_s:
                raise CorefileError(f"plugin/loadbalance: {bad}") from bad
            self.world.log.warning(
                f"plugin/loadbalance: Failed to open weight file:{bad}. "
                f"Will try again in {shown(self.reload_s)}"
            )
        except ValueError as bad:
            raise CorefileError(f"plugin/loadbalance: {bad}") from bad

    async def keep_current(self) -> None:
        while self.reload_s > 0:
            await self.world.clock.sleep(self.reload_s)
            try:
                self.read()
            except (CannotOpen, ValueError) as bad:
                self.world.log.error(f"plugin/loadbalance: {bad}")


def parsed(content: str, path: str) -> dict[str, dict[str, int]]:
    """Names to addresses to weights. Raises ValueError."""
    table: dict[str, dict[str, int]] = {}
    current: dict[str, int] | None = None
    for line in content.splitlines():
        words = line.split("#")[0].split()
        if len(words) == 1:
            if not is_domain(words[0]) or _is_address(words[0]):
                raise ValueError(
                    f'wrong domain name:"{words[0]}" in weight file {path}. '
                    "(Maybe a missing weight value?)"
                )
            current = table.setdefault(fqdn(words[0]).lower(), {})
        elif len(words) == 2:
            address, weight = _weighed(words, path)
            if current is None:
                raise ValueError(f"missing domain name in weight file {path}")
            current[address] = weight
        elif words:
            raise ValueError(f'could not parse weight line:"{line}" in weight file {path}')
    return table


def _weighed(words: list[str], path: str) -> tuple[str, int]:
    if not _is_address(words[0]):
        raise ValueError(f'wrong IP address:"{words[0]}" in weight file {path}')
    if not words[1].isdigit() or not 0 < int(words[1]) <= MAX_WEIGHT:
        raise ValueError(f'wrong weight value:"{words[1]}" in weight file {path}')
    return str(ip_address(words[0])), int(words[1])


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True
