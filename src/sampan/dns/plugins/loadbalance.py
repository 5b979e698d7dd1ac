"""*loadbalance* puts another address first in every answer."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from random import Random

from sampan.dns import codes
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.rdata import text
from sampan.dns.setup import Args
from sampan.dns.weights import Weights

Network = IPv4Network | IPv6Network
_MOVING = frozenset((codes.A, codes.AAAA, codes.MX))


class LoadBalance(Plugin):
    """Marks replies whose addresses may turn; with weights or preferred networks it orders them
    itself.
    """

    def __init__(self, weights: Weights | None, preferred: list[Network], chance: Random) -> None:
        self.chance = chance
        self.weights = weights
        self.preferred = preferred
        self.static = weights is None
        self.nameless = self.keeps_ttls = True
        self.has_work = weights is not None

    async def answer(self, query: Query, following: Handler) -> Reply:
        reply = await following(query)
        if self.preferred and self.weights is None and not reply.rcode and not reply.stream:
            answer, additional = map(self._nearest_first, (reply.answer, reply.additional))
            return reply._replace(answer=answer, additional=additional, validity=None)
        if len(reply.answer) < 2:
            return reply
        if self.weights is not None:
            return reply._replace(answer=self.weights.ordered(query.name, reply.answer))
        return reply._replace(rotates=True)

    def _nearest_first(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """Aliases, addresses from the nearest on, mail exchangers, the rest; equals by chance."""
        moving = [record for record in records if record.type in _MOVING]
        fixed = [record for record in records if record.type not in _MOVING]
        return tuple(sorted(fixed + self.chance.sample(moving, len(moving)), key=self._rank))

    def _rank(self, record: Record) -> int:
        if record.type == codes.CNAME:
            return -1
        if record.type not in (codes.A, codes.AAAA):
            return len(self.preferred) + (1 if record.type == codes.MX else 2)
        address = ip_address(text(record))
        for number, network in enumerate(self.preferred):
            if address in network:
                return number
        return len(self.preferred)

    async def start(self) -> None:
        if self.weights is not None:
            self.weights.begin()

    async def run(self) -> None:
        if self.weights is not None:
            await self.weights.keep_current()


def setup(args: Args) -> Plugin:
    weights, preferred = None, list[Network]()
    for words in args.places():
        if not words:
            pass
        elif words[0] == "round_robin":
            if len(words) > 1:
                raise args.error(f"unknown property for {words[0]}")
        elif words[0] == "weighted":
            weights = Weights.from_args(args, words[1:])
            continue
        else:
            raise CorefileError(f"unknown policy: {words[0]}")
        for field in args.properties():
            if field != "prefer":
                raise args.unknown()
            preferred += [_network(args, word) for word in args.rest()]
    return LoadBalance(weights, preferred, args.world.chance)


def _network(args: Args, word: str) -> Network:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        raise args.error(f'invalid CIDR "{word}": invalid CIDR address: {word}') from None
